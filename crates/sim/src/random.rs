//! The random numbers of a simulation: one seed, and a stream of its own for each part, so that a part that asks for one number more
//! does not change what the others get.

use std::ops::Range;
use std::sync::Arc;

use klamm_broker::environment::Random;
use parking_lot::Mutex;

/// A stream of random numbers (SplitMix64). Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The stream of one part of a simulation.
    pub(crate) fn new(seed: u64, part: &str) -> Self {
        let state = part.bytes().fold(seed ^ 0x51_7c_c1_b7, |state, byte| mix(state ^ u64::from(byte)));
        Self(Arc::new(Mutex::new(state)))
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(*state)
    }

    /// A number below `bound`, 0 when that is 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number in a range.
    pub(crate) fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several.
    pub(crate) fn pick<'c, T>(&self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Random for Dice {
    fn next_u128(&self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
