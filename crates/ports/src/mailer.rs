//! Mail to users.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{Email, Result};

/// One mail in plain text. It may hold a code, so neither its address nor its text prints.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To whom.
    pub to: Email,
    /// One line.
    pub subject: String,
    /// The text, with `\n` at the end of each line.
    pub text: SecretString,
}

/// Sends mail.
///
/// # Contract
/// - A mail arrives as it was written: its address, its subject, and every line of its text, in any script.
/// - Each recipient gets their own mail and no other, once, also when many are sent at the same time.
/// - `send` does not wait for the delivery: it answers while the receiving side does not, and the mail arrives later.
/// - A subject with a line break is `InvalidInput`, and nothing is sent.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Takes a mail for delivery. `Unavailable` when too many wait already.
    async fn send(&self, mail: Mail) -> Result<()>;
}
