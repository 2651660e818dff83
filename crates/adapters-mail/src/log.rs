//! Mail in the log.

use async_trait::async_trait;
use ports::{Mail, Mailer, Result};
use secrecy::ExposeSecret;

use crate::message::check_subject;

/// Writes mails to the log, address and text and all. For development only.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogMailer;

#[async_trait]
impl Mailer for LogMailer {
    async fn send(&self, mail: Mail) -> Result<()> {
        check_subject(&mail)?;
        let (to, subject, text) = (mail.to.expose(), mail.subject.as_str(), mail.text.expose_secret());
        tracing::info!(to, subject, text, "a mail (development only)");
        Ok(())
    }
}
