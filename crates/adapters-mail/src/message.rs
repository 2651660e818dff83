//! From a mail to the message that goes over the wire.

use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use ports::{Error, ErrorKind, Mail, Result};
use secrecy::ExposeSecret;

pub(crate) const SEND: &str = "mail.send";

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, SEND).with_cause(what)
}

/// A line break in a subject would begin a header of the sender's choice.
pub(crate) fn check_subject(mail: &Mail) -> Result<()> {
    if mail.subject.contains(['\r', '\n']) {
        return Err(invalid("the subject has a line break"));
    }
    Ok(())
}

/// Answers to an automatic mail by other automats (RFC 3834) would go round in circles.
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

pub(crate) fn message(from: &Mailbox, mail: &Mail) -> Result<Message> {
    check_subject(mail)?;
    // The errors of the library name the address.
    let to = mail.to.expose().parse().map_err(|_hidden| invalid("not an address that mail goes to"))?;
    let id = format!("<{}@{}>", hex::encode(rand::random::<[u8; 16]>()), from.email.domain());
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject.as_str())
        .message_id(Some(id))
        .date_now()
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.expose_secret().to_owned())
        .map_err(|_hidden| invalid("no message can be made of it"))
}
