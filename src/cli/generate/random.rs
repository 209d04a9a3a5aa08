//! A small random generator (SplitMix64): fast, and with the same numbers on every machine.

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The generator for one patient of a hospital.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut random =
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit`, without `limit`.
    pub(super) fn below(&mut self, limit: i64) -> i64 {
        let limit = u64::try_from(limit).unwrap_or(1).max(1);
        i64::try_from(self.next() % limit).unwrap_or(0)
    }

    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high - low + 1)
    }

    pub(super) fn percent(&mut self, chance: i64) -> bool {
        self.below(100) < chance
    }

    /// One of several values; the slice is never empty.
    pub(super) fn pick<'t, T>(&mut self, among: &'t [T]) -> Option<&'t T> {
        let index = self.below(i64::try_from(among.len()).unwrap_or(1));
        among.get(usize::try_from(index).unwrap_or(0))
    }
}
