//! Mail in memory.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ports::{Email, Mail, Mailer, Result};

use crate::message::check_subject;

/// Keeps mails for tests to read.
#[derive(Debug, Default)]
pub struct MemoryMailer(Mutex<Vec<Mail>>);

impl MemoryMailer {
    /// The mails to `to`, oldest first.
    pub fn mails(&self, to: &Email) -> Vec<Mail> {
        let mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().filter(|mail| mail.to == *to).cloned().collect()
    }
}

#[async_trait]
impl Mailer for MemoryMailer {
    async fn send(&self, mail: Mail) -> Result<()> {
        check_subject(&mail)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        Ok(())
    }
}
