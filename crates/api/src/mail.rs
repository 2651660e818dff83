//! The mails that people get.

use std::time::Duration;

use ports::{Email, Mail};
use secrecy::{ExposeSecret, SecretString};

/// Why somebody is mailed a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodeMail {
    ConfirmEmail,
    ResetPassword,
}

impl CodeMail {
    /// A mail with a code. Plain text without a link: a link in a mail about accounts is what phishing looks like.
    pub(crate) fn write(self, to: &Email, code: &SecretString, valid_for: Duration) -> Mail {
        let (subject, why, what, otherwise) = match self {
            Self::ConfirmEmail => (
                "Confirm your e-mail address",
                "Somebody, probably you, signed up for Clarity with this address.",
                "To confirm that it is yours, enter this code in the app:",
                "If it was not you, ignore this mail: without the code nobody can use the account.",
            ),
            Self::ResetPassword => (
                "Your code for a new password",
                "Somebody, probably you, asked for a new password for your Clarity account.",
                "To choose one, enter this code in the app:",
                "If it was not you, ignore this mail: your password stays as it is. Tell nobody the code; we never ask for it.",
            ),
        };
        let minutes = valid_for.as_secs() / 60;
        let code = code.expose_secret();
        let text = format!(
            "Hello,\n\n{why}\n\n{what}\n\n    {code}\n\nIt holds for {minutes} minutes and works once. A newer code replaces it.\n\n\
             {otherwise}\n\nClarity\n"
        );
        Mail { to: to.clone(), subject: subject.to_owned(), text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_the_code_how_long_it_holds_and_what_to_do_otherwise() {
        let to = Email::parse("anna@example.org").unwrap();
        for (kind, subject, otherwise) in [
            (
                CodeMail::ConfirmEmail,
                "Confirm your e-mail address",
                "without the code nobody can use the account",
            ),
            (CodeMail::ResetPassword, "Your code for a new password", "your password stays as it is"),
        ] {
            let mail = kind.write(&to, &"271828".to_owned().into(), Duration::from_mins(15));
            assert_eq!((&mail.to, mail.subject.as_str()), (&to, subject));
            let text = mail.text.expose_secret();
            assert!(
                text.contains("\n    271828\n") && text.contains("15 minutes") && text.contains(otherwise),
                "{text}"
            );
            // Nothing to click on, and nothing of another alphabet that a server might mangle.
            assert!(!text.contains("http") && text.is_ascii());
        }
    }
}
