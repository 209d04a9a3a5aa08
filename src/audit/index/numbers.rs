//! Ascending numbers as runs: the gap before each run and the length of the run, both as variable-length integers.

/// Appends a number, seven bits per byte, the lowest first.
pub(super) fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Takes a number off the front; `None` at the end, and for an incomplete number.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// Encodes ascending, distinct numbers as runs.
pub(super) fn encode(numbers: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    // The number after the last run.
    let mut end = 0;
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let is_run = |(at, number): (u32, &u32)| *number == first.saturating_add(at);
        let len = (0..).zip(rest).take_while(|pair| is_run(*pair)).count();
        let run = u64::try_from(len).unwrap_or(0);
        push(&mut out, u64::from(*first) - end);
        push(&mut out, run);
        end = u64::from(*first) + run;
        rest = rest.get(len..).unwrap_or_default();
    }
    out
}

/// Decodes runs: the first number of each, and the number after its last.
pub(super) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let first = end + take(&mut bytes)?;
        end = first + take(&mut bytes)?;
        Some((u32::try_from(first).ok()?, u32::try_from(end).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{encode, push, runs, take};

    #[test]
    fn numbers_come_back() {
        // Every set of the numbers below twelve, near the beginning and far from it.
        for set in 0_u32..1 << 12 {
            for base in [0, 120, 1 << 20] {
                let numbers: Vec<u32> =
                    (0..12).filter(|bit| set & 1 << bit != 0).map(|bit| base + bit).collect();
                let back: Vec<u32> = runs(&encode(&numbers)).flat_map(|(first, end)| first..end).collect();
                assert_eq!(back, numbers);
            }
        }
    }

    #[test]
    fn a_number_of_any_length_comes_back() {
        for number in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX >> bit]) {
            let mut out = Vec::new();
            push(&mut out, number);
            assert_eq!(take(&mut out.as_slice()), Some(number));
        }
    }

    #[test]
    fn a_run_takes_two_numbers() {
        assert_eq!(encode(&(7..1_500).collect::<Vec<_>>()).len(), 3);
        assert_eq!(runs(&[0x80]).count(), 0, "what is cut off ends there");
    }
}
