//! Whether two words differ by a slip of the finger: one letter wrong, missing, too many, or two in the wrong order.

/// Whether a name begins with the word, or with one that differs from it by a slip. Both are folded.
pub(super) fn begins_nearly(name: &str, word: &str) -> bool {
    let (name, word): (Vec<char>, Vec<char>) = (name.chars().collect(), word.chars().collect());
    let lengths = word.len().saturating_sub(1)..=word.len() + 1;
    lengths.filter_map(|len| name.get(..len)).any(|begin| is_near(begin, &word))
        || (name.len() < word.len() && is_near(&name, &word))
}

fn is_near(one: &[char], other: &[char]) -> bool {
    let same_begin = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) =
        (one.get(same_begin..).unwrap_or_default(), other.get(same_begin..).unwrap_or_default());
    match (one, other) {
        ([], []) => true,
        ([a, b, rest @ ..], [c, d, others @ ..]) if a == d && b == c && rest == others => true,
        ([_, rest @ ..], [_, others @ ..]) if rest == others => true,
        ([_, rest @ ..], _) if rest == other => true,
        (_, [_, others @ ..]) => one == others,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::begins_nearly;

    #[test]
    fn one_slip_is_forgiven() {
        let check = |name: &str, word: &str, expected: bool| {
            assert_eq!(begins_nearly(name, word), expected, "{name} {word}");
        };
        for word in ["miller", "miler", "millerr", "imller", "mxller", "mill", "milelr", "millre"] {
            check("miller", word, true);
        }
        for word in ["miellr", "mxllex", "mlr", "xmillery"] {
            check("miller", word, false);
        }
        check("", "a", true);
        check("li", "lie", true);
    }
}
