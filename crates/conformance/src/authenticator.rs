use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;

/// An authenticator app, for tests: it makes the codes of RFC 6238 by itself.
#[derive(PartialEq, Eq, Debug)]
pub struct Authenticator {
    secret: Vec<u8>,
}

impl Authenticator {
    /// How long it shows a code.
    pub const STEP: Duration = Duration::from_secs(30);

    /// Reads the base32 that people would type in.
    pub fn new(base32: &SecretString) -> Self {
        let (mut secret, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
        for digit in base32.expose_secret().bytes() {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            let value = alphabet.iter().position(|known| *known == digit).expect("base32");
            buffer = (buffer << 5 | u32::try_from(value).unwrap()) & 0xffff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                secret.push((buffer >> bits & 0xff).try_into().unwrap());
            }
        }
        assert!(secret.len() >= 16, "a secret of {} bytes", secret.len());
        Self { secret }
    }

    /// What it shows.
    pub fn code(&self, at: Timestamp) -> SecretString {
        self.codes(at)[1].as_str().into()
    }

    /// What it showed a moment before, shows, and will show next.
    pub fn codes(&self, at: Timestamp) -> [String; 3] {
        let present = u64::try_from(at.as_second()).unwrap() / Self::STEP.as_secs();
        [present - 1, present, present + 1].map(|step| {
            let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret).unwrap();
            mac.update(&step.to_be_bytes());
            let tag = mac.finalize().into_bytes();
            let offset = usize::from(tag[19] & 15);
            let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().unwrap()) & (u32::MAX >> 1);
            format!("{:06}", number % 1_000_000)
        })
    }

    /// None of those.
    pub fn wrong_code(&self, at: Timestamp) -> SecretString {
        let right = self.codes(at);
        let wrong = ["000000", "111111", "222222", "333333"];
        let wrong = wrong.into_iter().find(|code| right.iter().all(|right| right != code));
        wrong.expect("three codes are not four").into()
    }
}
