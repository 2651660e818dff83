//! What a sign-in must be told to go on: sealed, so that whoever answers can neither read nor change it.

use jiff::{SignedDuration, Timestamp};
use ports::{ChallengeKind, Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::sealing::Sealer;

const CONTEXT: &[u8] = b"challenge";
/// The pool's own limit must be as long: `AuthSessionValidity` 5.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// A sign-in that waits for an answer.
#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    kind: String,
    pub(super) username: String,
    /// The pool's name of it.
    pub(super) session: String,
    pub(super) begun_at: Timestamp,
}

impl Challenge {
    pub(super) fn new(kind: ChallengeKind, (username, session): (&str, &str), begun_at: Timestamp) -> Self {
        let (username, session) = (username.to_owned(), session.to_owned());
        Self { kind: name(kind).to_owned(), username, session, begun_at }
    }

    pub(super) fn is_of(&self, kind: ChallengeKind) -> bool {
        self.kind == name(kind)
    }

    pub(super) fn seal(&self, sealer: &Sealer) -> Result<SecretString> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "identity.challenge").with_cause(error))?;
        Ok(sealer.seal(&text, CONTEXT)?.into())
    }

    /// `None` for what is none of ours, or too old.
    pub(super) fn open(given: &SecretString, sealer: &Sealer, now: Timestamp) -> Option<Self> {
        let text = sealer.open(given.expose_secret(), CONTEXT)?;
        let challenge: Self = serde_json::from_slice(&text).ok()?;
        let end = challenge.begun_at.checked_add(LIFETIME).ok()?;
        (now < end).then_some(challenge)
    }
}

/// The pool's name for a challenge.
pub(super) fn name(kind: ChallengeKind) -> &'static str {
    match kind {
        ChallengeKind::SoftwareTokenMfa => "SOFTWARE_TOKEN_MFA",
        ChallengeKind::SmsMfa => "SMS_MFA",
        ChallengeKind::NewPasswordRequired => "NEW_PASSWORD_REQUIRED",
    }
}

/// The challenge that the pool calls `name`, where it is one that people are asked.
pub(super) fn kind(name: &str) -> Option<ChallengeKind> {
    let all = [ChallengeKind::SoftwareTokenMfa, ChallengeKind::SmsMfa, ChallengeKind::NewPasswordRequired];
    all.into_iter().find(|kind| self::name(*kind) == name)
}

/// What the answer to a challenge is called.
pub(super) fn answer_name(kind: ChallengeKind) -> &'static str {
    match kind {
        ChallengeKind::SoftwareTokenMfa => "SOFTWARE_TOKEN_MFA_CODE",
        ChallengeKind::SmsMfa => "SMS_MFA_CODE",
        ChallengeKind::NewPasswordRequired => "NEW_PASSWORD",
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;

    use super::*;

    #[test]
    fn a_challenge_reads_back_for_five_minutes_and_only_unchanged() {
        let sealer = Sealer::new(&SecretSlice::from(vec![7; 32])).unwrap();
        let begun = Timestamp::from_second(1_772_366_400).unwrap();
        let challenge = Challenge::new(ChallengeKind::SmsMfa, ("anna@example.org", "session"), begun);
        let given = challenge.seal(&sealer).unwrap();
        assert!(!given.expose_secret().contains("anna"));
        let late = begun + SignedDuration::from_secs(299);
        let opened = Challenge::open(&given, &sealer, late).unwrap();
        assert_eq!((opened.username.as_str(), opened.session.as_str()), ("anna@example.org", "session"));
        assert!(opened.is_of(ChallengeKind::SmsMfa) && !opened.is_of(ChallengeKind::SoftwareTokenMfa));
        assert!(Challenge::open(&given, &sealer, begun + SignedDuration::from_secs(300)).is_none());
        let changed = given.expose_secret().replace(|c: char| c.is_ascii_digit(), "A");
        assert!(Challenge::open(&changed.into(), &sealer, begun).is_none());
        for known in
            [ChallengeKind::SoftwareTokenMfa, ChallengeKind::SmsMfa, ChallengeKind::NewPasswordRequired]
        {
            assert_eq!(kind(name(known)), Some(known));
        }
        assert_eq!(kind("SELECT_MFA_TYPE"), None);
    }
}
