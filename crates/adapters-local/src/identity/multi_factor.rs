//! The second factor: set-up, the challenge of a sign-in, recovery codes, and its end.

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use ports::{
    ChallengeKind, Denial, Error, ErrorKind, MultiFactor, Result, SignIn, SignInContext, TotpSecret,
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    LocalIdentity,
    accounts::denied,
    codes::wrong_code,
    lockout::{Counted, check_unlocked},
    random,
    rows::{Accounts, Challenge, Failures, Keep, SecondFactor, Session, after},
    sessions::{opaque_token, token_key},
    totp,
};

/// A set-up that is not confirmed until then is forgotten.
const SET_UP_LIFETIME: Duration = Duration::from_mins(15);
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(5);
const WRONG_ANSWERS_MAX: u32 = 5;
const RECOVERY_CODES: usize = 10;
/// 80 bits: nobody finds one of them by trying, so a plain hash keeps them.
const RECOVERY_BYTES: usize = 10;

#[async_trait]
impl MultiFactor for LocalIdentity {
    async fn set_up(&self, user_id: UserId) -> Result<TotpSecret> {
        let mut accounts = self.begin("multi_factor.set_up").await?;
        let user = accounts.user(user_id).await?;
        let user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        if second_factor(&mut accounts, user_id).await?.is_some() {
            return Err(accounts.error(ErrorKind::Conflict));
        }
        let bytes = Zeroizing::new(random::<{ totp::SECRET_BYTES }>()?);
        let secret = self.sealer.seal(&*bytes, user_id.0.as_bytes())?;
        let factor = SecondFactor { secret, is_on: false, last_step: None, recovery: Vec::new() };
        let keep = Keep { owner: None, until: Some(after(accounts.now(), SET_UP_LIFETIME)) };
        accounts.put(user_id.0.as_bytes(), &factor, keep).await?;
        accounts.commit().await?;
        let text = Zeroizing::new(totp::base32(&*bytes));
        let otpauth_uri = totp::otpauth_uri(&self.settings.issuer, &user.email, &text).into();
        Ok(TotpSecret { secret: text.as_str().into(), otpauth_uri })
    }

    /// Wrong codes are not counted here: who may call this can also ask for another secret, and sees it.
    async fn verify(&self, user_id: UserId, code: &SecretString) -> Result<Vec<SecretString>> {
        const OPERATION: &str = "multi_factor.verify";
        let mut accounts = self.begin(OPERATION).await?;
        let factor: Option<SecondFactor> = accounts.get(user_id.0.as_bytes()).await?;
        let mut factor = factor.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        if factor.is_on {
            return Err(accounts.error(ErrorKind::Conflict));
        }
        if !self.accepts(&mut factor, user_id, code, &accounts)? {
            return Err(wrong_code(OPERATION));
        }
        let codes = (0..RECOVERY_CODES).map(|_| new_recovery_code()).collect::<Result<Vec<_>>>()?;
        factor.is_on = true;
        factor.recovery = codes.iter().map(|code| recovery_hash(user_id, code.expose_secret())).collect();
        accounts.put(user_id.0.as_bytes(), &factor, Keep::default()).await?;
        accounts.commit().await?;
        Ok(codes)
    }

    async fn disable(&self, user_id: UserId, code: &SecretString) -> Result<()> {
        const OPERATION: &str = "multi_factor.disable";
        let mut accounts = self.begin(OPERATION).await?;
        let user = accounts.user(user_id).await?;
        let user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        let factor = second_factor(&mut accounts, user_id).await?;
        let mut factor = factor.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        let counted = Counted::new(&user.email, None);
        check_unlocked(&mut accounts, &counted, OPERATION).await?;
        if !self.accepts(&mut factor, user_id, code, &accounts)? {
            self.count_failure(&mut accounts, &counted).await?;
            accounts.commit().await?;
            return Err(wrong_code(OPERATION));
        }
        accounts.delete::<Failures>(&counted.account).await?;
        accounts.delete::<SecondFactor>(user_id.0.as_bytes()).await?;
        accounts.commit().await
    }

    async fn remove(&self, user_id: UserId) -> Result<()> {
        let mut accounts = self.begin("multi_factor.remove").await?;
        if accounts.user(user_id).await?.is_none() {
            return Err(accounts.error(ErrorKind::NotFound));
        }
        accounts.delete::<SecondFactor>(user_id.0.as_bytes()).await?;
        accounts.delete_owned::<Challenge>(user_id).await?;
        accounts.commit().await
    }

    async fn is_on(&self, user_id: UserId) -> Result<bool> {
        let mut accounts = self.read("multi_factor.is_on").await?;
        Ok(second_factor(&mut accounts, user_id).await?.is_some())
    }
}

impl LocalIdentity {
    /// Asks for the second factor of a user whose password was right.
    pub(super) async fn challenge(
        &self,
        accounts: &mut Accounts,
        user_id: UserId,
        from: &SignInContext,
    ) -> Result<SignIn> {
        let session = opaque_token()?;
        let challenge = Challenge { session: Session::new(user_id, from, accounts.now()), wrong_answers: 0 };
        let until = Some(after(accounts.now(), CHALLENGE_LIFETIME));
        let keep = Keep { owner: Some(user_id.0.as_bytes()), until };
        accounts.put(&token_key(&session), &challenge, keep).await?;
        Ok(SignIn::Challenge { kind: ChallengeKind::SoftwareTokenMfa, session })
    }

    pub(super) async fn answer_challenge(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn> {
        const OPERATION: &str = "identity.respond";
        let invalid = || denied(OPERATION, Denial::InvalidToken);
        if kind != ChallengeKind::SoftwareTokenMfa {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION).with_cause("nobody asked for that"));
        }
        let key = token_key(session);
        let mut accounts = self.begin(OPERATION).await?;
        let challenge: Challenge = accounts.get(&key).await?.ok_or_else(invalid)?;
        let user_id = challenge.session.user_id;
        let user = accounts.user(user_id).await?.ok_or_else(invalid)?;
        let mut factor = second_factor(&mut accounts, user_id).await?.ok_or_else(invalid)?;
        let counted = Counted::new(&user.email, from.address);
        check_unlocked(&mut accounts, &counted, OPERATION).await?;
        if let Some(denial) = self.bar(&user) {
            return Err(denied(OPERATION, denial));
        }
        if !self.accepts(&mut factor, user_id, answer, &accounts)? {
            count_wrong_answer(&mut accounts, &key, challenge).await?;
            self.count_failure(&mut accounts, &counted).await?;
            accounts.commit().await?;
            return Err(wrong_code(OPERATION));
        }
        accounts.put(user_id.0.as_bytes(), &factor, Keep::default()).await?;
        accounts.delete::<Challenge>(&key).await?;
        accounts.delete::<Failures>(&counted.account).await?;
        let now = accounts.now();
        let session = Session { created_at: now, last_used_at: now, ..challenge.session };
        let session_id = SessionId(self.ids.next());
        let tokens = self.tokens_of(&mut accounts, user, (session_id, &session), opaque_token()?).await?;
        accounts.commit().await?;
        Ok(SignIn::Tokens(tokens))
    }

    /// Whether `given` is a code or a recovery code that counts now. If so, it no longer does once `factor` is kept.
    fn accepts(
        &self,
        factor: &mut SecondFactor,
        user_id: UserId,
        given: &SecretString,
        accounts: &Accounts,
    ) -> Result<bool> {
        let secret = self.sealer.open_sealed(&factor.secret, user_id.0.as_bytes())?;
        // As people copy them: in groups, by either case.
        let given: String =
            given.expose_secret().chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let given = Zeroizing::new(given);
        if let Some(step) = totp::step_of(&secret, &given, factor.last_step, accounts.now()) {
            factor.last_step = Some(step);
            return Ok(true);
        }
        let hash = recovery_hash(user_id, &given);
        let found = factor.recovery.iter().position(|code| code.ct_eq(&hash).into());
        found.map(|place| factor.recovery.remove(place));
        Ok(found.is_some())
    }
}

/// The second factor that a user is asked for.
pub(super) async fn second_factor(accounts: &mut Accounts, user_id: UserId) -> Result<Option<SecondFactor>> {
    let factor: Option<SecondFactor> = accounts.get(user_id.0.as_bytes()).await?;
    Ok(factor.filter(|factor| factor.is_on))
}

async fn count_wrong_answer(accounts: &mut Accounts, key: &[u8], mut challenge: Challenge) -> Result<()> {
    challenge.wrong_answers += 1;
    if challenge.wrong_answers >= WRONG_ANSWERS_MAX {
        return accounts.delete::<Challenge>(key).await;
    }
    let until = Some(after(challenge.session.created_at, CHALLENGE_LIFETIME));
    let user_id = challenge.session.user_id;
    accounts.put(key, &challenge, Keep { owner: Some(user_id.0.as_bytes()), until }).await
}

fn new_recovery_code() -> Result<SecretString> {
    let bytes = Zeroizing::new(random::<RECOVERY_BYTES>()?);
    let digits = Zeroizing::new(totp::base32(&*bytes).to_lowercase());
    let groups: Vec<&str> =
        (0..digits.len()).step_by(4).filter_map(|start| digits.get(start..start + 4)).collect();
    Ok(groups.join("-").into())
}

fn recovery_hash(user_id: UserId, code: &str) -> [u8; 32] {
    let digits = code.bytes().filter(|byte| *byte != b'-').map(|byte| byte.to_ascii_lowercase());
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(digits.collect());
    Sha256::new().chain_update(b"recovery:").chain_update(user_id.0).chain_update(&*digits).finalize().into()
}
