//! The promises of [`ports::Mailer`] on each mailer, and what SMTP adds to them.

// Under `cfg(test)`, so that the helpers between the tests may `unwrap` as the tests do.
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod server;
#[cfg(test)]
mod smtp;
#[cfg(test)]
mod tls;

#[cfg(test)]
mod memory {
    mod mailer {
        conformance::mailer!(crate::inbox::in_memory());
    }
}

#[cfg(test)]
mod log {
    mod mailer {
        conformance::mailer!(crate::inbox::in_log());
    }
}

#[cfg(test)]
mod smtp_plain {
    mod mailer {
        conformance::mailer!(crate::smtp::fixture(crate::server::Security::Plain));
    }
}

#[cfg(test)]
mod smtp_starttls {
    mod mailer {
        conformance::mailer!(crate::smtp::fixture(crate::server::Security::Starttls));
    }
}
