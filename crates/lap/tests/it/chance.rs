//! Chance that can be repeated.

/// A generator of numbers whose seed is said, so that a failure can be repeated with `LAP_TEST_SEED`.
pub struct Chance(u64);

impl Chance {
    /// With the seed in `LAP_TEST_SEED`, or another one each time. The test's output begins with it.
    #[expect(clippy::print_stdout, reason = "shown when the test fails")]
    pub fn new() -> Self {
        let seed = match std::env::var("LAP_TEST_SEED") {
            Ok(text) => text.parse().expect("LAP_TEST_SEED is a number"),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.expect("a time after 1970").as_micros() as u64
            }
        };
        println!("repeat with LAP_TEST_SEED={seed}");
        Self::with_seed(seed)
    }

    /// With this seed.
    pub fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`: splitmix64.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}
