//! Mailers: [`SmtpMailer`] hands mail to a server, [`LogMailer`] writes it to the log, for development, and
//! [`MemoryMailer`] keeps it, for tests.

mod log;
mod memory;
mod message;
mod smtp;

pub use log::LogMailer;
pub use memory::MemoryMailer;
pub use smtp::{Credentials, Encryption, SmtpMailer, SmtpSettings};
