//! Codes that prove an address: six digits, sent to it, good once and for a short while.

use std::{fmt, time::Duration};

use domain::ids::UserId;
use jiff::Timestamp;
use ports::{Denial, Email, Error, ErrorKind, Result};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    random,
    rows::{Accounts, AddressKey, Code, Keep, Mail, User, after},
};

/// How long a code is good for.
pub const CODE_LIFETIME: Duration = Duration::from_mins(15);
const ATTEMPTS_MAX: u32 = 5;
/// An address gets only so many codes in this time. With the attempts of each that bounds guessing.
const WINDOW: Duration = Duration::from_hours(1);
const ISSUED_IN_WINDOW_MAX: u32 = 5;

/// What a code is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePurpose {
    /// To confirm the address.
    ConfirmEmail,
    /// To set a new password.
    ResetPassword,
}

impl CodePurpose {
    /// The name in logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm_email",
            Self::ResetPassword => "reset_password",
        }
    }
}

/// Sends codes to their owners. Called on the request's own task: it hands the mail over and does not wait for its delivery.
pub trait CodeSink: fmt::Debug + Send + Sync + 'static {
    /// Sends a code.
    fn deliver(&self, email: &Email, purpose: CodePurpose, code: &SecretString);
}

/// A code that was kept instead of sent.
#[derive(Clone, Debug)]
pub struct DevCode {
    /// To whom it would have gone.
    pub email: Email,
    /// What it is for.
    pub purpose: CodePurpose,
    /// The digits.
    pub code: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A code to be delivered once the transaction that made it is committed.
pub(super) struct Delivery {
    pub(super) email: Email,
    pub(super) purpose: CodePurpose,
    pub(super) code: SecretString,
}

pub(super) fn code_key(address: &AddressKey, purpose: CodePurpose) -> Vec<u8> {
    [address, purpose.as_str().as_bytes()].concat()
}

fn code_hash(address: &AddressKey, purpose: CodePurpose, code: &str) -> [u8; 32] {
    let digest = Sha256::new().chain_update(address).chain_update(purpose.as_str()).chain_update(code);
    digest.finalize().into()
}

fn new_code() -> Result<String> {
    loop {
        let number = u32::from_le_bytes(random()?);
        // The last, incomplete million would make the codes at its start a little likelier.
        if number < u32::MAX / 1_000_000 * 1_000_000 {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}

/// Makes the address's next code, in place of the earlier one. It does the same for an address of nobody (`user` is
/// `None`), so that neither the answer nor its time tells them apart; only the delivery is missing.
pub(super) async fn issue(
    accounts: &mut Accounts,
    address: &AddressKey,
    purpose: CodePurpose,
    user: Option<&User>,
) -> Result<Option<Delivery>> {
    let key = code_key(address, purpose);
    let now = accounts.now();
    let earlier: Option<Code> = accounts.get(&key).await?;
    let earlier = earlier.filter(|code| code.window_ends_at > now);
    let (window_ends_at, issued) =
        earlier.map_or((after(now, WINDOW), 0), |code| (code.window_ends_at, code.issued_in_window));
    if issued >= ISSUED_IN_WINDOW_MAX {
        return Ok(None);
    }
    let text = new_code()?;
    let expires_at = after(now, CODE_LIFETIME);
    let code = Code {
        hash: code_hash(address, purpose, &text),
        expires_at,
        wrong_attempts: 0,
        window_ends_at,
        issued_in_window: issued + 1,
        user_id: user.map(|user| user.id),
    };
    put(accounts, &key, &code).await?;
    Ok(user.map(|user| Delivery { email: user.email.clone(), purpose, code: text.into() }))
}

/// Keeps a code where nobody delivers it.
pub(super) async fn keep(accounts: &mut Accounts, address: &AddressKey, delivery: &Delivery) -> Result<()> {
    use secrecy::ExposeSecret;
    let mail = Mail {
        email: delivery.email.clone(),
        purpose: delivery.purpose,
        code: delivery.code.expose_secret().to_owned(),
        expires_at: after(accounts.now(), CODE_LIFETIME),
    };
    let keep = Keep { owner: Some(Mail::OWNER), until: Some(mail.expires_at) };
    accounts.put(&code_key(address, delivery.purpose), &mail, keep).await
}

/// Whether `given` is the address's code. A wrong one is counted, and one that is not there as if it were: neither the answer
/// nor its time tells whether a code was sent. Commit in either case.
pub(super) async fn check(
    accounts: &mut Accounts,
    address: &AddressKey,
    purpose: CodePurpose,
    given: &str,
) -> Result<bool> {
    let key = code_key(address, purpose);
    let now = accounts.now();
    let code: Option<Code> = accounts.get(&key).await?;
    let mut code = code.unwrap_or_else(|| Code {
        hash: [0; 32],
        expires_at: now,
        wrong_attempts: ATTEMPTS_MAX,
        user_id: None,
        window_ends_at: after(now, WINDOW),
        issued_in_window: 0,
    });
    let is_right: bool = code_hash(address, purpose, given.trim()).ct_eq(&code.hash).into();
    if is_right && code.expires_at > now && code.wrong_attempts < ATTEMPTS_MAX {
        return Ok(true);
    }
    code.wrong_attempts = code.wrong_attempts.saturating_add(1);
    put(accounts, &key, &code).await?;
    Ok(false)
}

/// Makes the code of an address void, and keeps what counts the codes of the window.
pub(super) async fn spend(accounts: &mut Accounts, address: &AddressKey, purpose: CodePurpose) -> Result<()> {
    let key = code_key(address, purpose);
    accounts.delete::<Mail>(&key).await?;
    let Some(mut code) = accounts.get::<Code>(&key).await? else { return Ok(()) };
    code.wrong_attempts = ATTEMPTS_MAX;
    put(accounts, &key, &code).await
}

async fn put(accounts: &mut Accounts, key: &[u8], code: &Code) -> Result<()> {
    let owner = code.user_id.as_ref().map(|user_id| &user_id.0.as_bytes()[..]);
    let until = Some(code.window_ends_at.max(code.expires_at));
    accounts.put(key, code, Keep { owner, until }).await
}

/// Leaves nothing of the codes of a user and of their address, not even their number.
pub(super) async fn forget(accounts: &mut Accounts, address: &AddressKey, user_id: UserId) -> Result<()> {
    for purpose in [CodePurpose::ConfirmEmail, CodePurpose::ResetPassword] {
        let key = code_key(address, purpose);
        accounts.delete::<Mail>(&key).await?;
        accounts.delete::<Code>(&key).await?;
    }
    accounts.delete_owned::<Code>(user_id).await
}

pub(super) fn wrong_code(operation: &'static str) -> Error {
    Error::new(ErrorKind::PermissionDenied, operation).with_cause(Denial::WrongCode)
}
