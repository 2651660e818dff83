//! Faults that come by chance, and the same ones each time.

use super::Fault;

/// A share of all requests meets a fault: which ones follows from the seed and the requests' numbers alone.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Another seed, other faults.
    pub seed: u64,
    /// How many requests of a hundred meet one.
    pub percent: u64,
    /// Which ones there are, each as likely as the others.
    pub faults: &'static [Fault],
    /// Requests whose answers must arrive: for them [`Fault::DropAnswer`] is [`Fault::Reset`].
    pub must_be_answered: fn(&[u8]) -> bool,
}

impl Weather {
    pub(super) fn fault_of(&self, number: usize, request: &[u8]) -> Option<Fault> {
        let chance = mix(self.seed ^ mix(number as u64));
        if chance % 100 >= self.percent {
            return None;
        }
        let kind = (chance / 100) % self.faults.len() as u64;
        let fault = usize::try_from(kind).ok().and_then(|kind| self.faults.get(kind)).copied();
        fault.map(|fault| match fault {
            Fault::DropAnswer if (self.must_be_answered)(request) => Fault::Reset,
            other => other,
        })
    }
}

/// `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
fn mix(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
