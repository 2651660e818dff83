use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use uuid::Uuid;

/// The only source of chance. It draws integers alone and in its own way, so that a seed gives the same person on every
/// machine and with every version of `rand`.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of one part of the simulation. Parts have their own, so that a change to one leaves the others alone.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&part.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// One of `0..bound`. The bias of the remainder is far below anything that a test of this data could see.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound.max(1)
    }

    /// One of `-spread..=spread`, the middle more often.
    pub(crate) fn around_zero(&mut self, spread: u32) -> i64 {
        i64::from(self.below(spread + 1)) + i64::from(self.below(spread + 1)) - i64::from(spread)
    }

    pub(crate) fn chance(&mut self, per_thousand: u32) -> bool {
        self.below(1_000) < per_thousand
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
