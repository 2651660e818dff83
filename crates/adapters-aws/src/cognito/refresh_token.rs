//! The refresh tokens that people are given: a name of the session, and two secrets.
//!
//! All tokens of one session share the first secret, so that a spent one is known for what it is; the second one is new each
//! time. Only hashes of them are kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ids::{SessionId, UserId};
use ports::Result;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use uuid::Uuid;

use super::random;

const PART: usize = 16;
const LENGTH: usize = 4 * PART;

#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) user_id: UserId,
    pub(super) session_id: SessionId,
    family: [u8; PART],
    serial: [u8; PART],
}

impl RefreshToken {
    /// The first one of a session.
    pub(super) fn first(user_id: UserId, session_id: SessionId) -> Result<Self> {
        Ok(Self { user_id, session_id, family: random()?, serial: random()? })
    }

    /// The one after this.
    pub(super) fn next(&self) -> Result<Self> {
        Ok(Self { serial: random()?, ..self.clone() })
    }

    pub(super) fn parse(token: &SecretString) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.expose_secret()).ok().map(Zeroizing::new)?;
        if bytes.len() != LENGTH {
            return None;
        }
        let part = |index: usize| <[u8; PART]>::try_from(&bytes[index * PART..][..PART]).ok();
        Some(Self {
            user_id: UserId(Uuid::from_bytes(part(0)?)),
            session_id: SessionId(Uuid::from_bytes(part(1)?)),
            family: part(2)?,
            serial: part(3)?,
        })
    }

    pub(super) fn text(&self) -> SecretString {
        let parts = [*self.user_id.0.as_bytes(), *self.session_id.0.as_bytes(), self.family, self.serial];
        URL_SAFE_NO_PAD.encode(parts.concat()).into()
    }

    /// Stands for the family of tokens in the store.
    pub(super) fn family_hash(&self) -> String {
        hash(&self.family)
    }

    /// Stands for this one.
    pub(super) fn serial_hash(&self) -> String {
        hash(&self.serial)
    }
}

pub(super) fn hash(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_the_next_one_is_of_its_family() {
        let first = RefreshToken::first(UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2))).unwrap();
        let read = RefreshToken::parse(&first.text()).unwrap();
        assert_eq!((read.user_id, read.session_id), (first.user_id, first.session_id));
        assert_eq!(read.serial_hash(), first.serial_hash());
        let next = read.next().unwrap();
        assert_eq!(next.family_hash(), first.family_hash());
        assert_ne!(next.serial_hash(), first.serial_hash());
        let text = first.text();
        let cut = &text.expose_secret()[1..];
        assert!(RefreshToken::parse(&SecretString::from(cut)).is_none());
        assert!(RefreshToken::parse(&SecretString::from("")).is_none());
    }
}
