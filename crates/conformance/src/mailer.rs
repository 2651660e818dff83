//! Cases of [`ports::Mailer`].

use futures::future::{join_all, try_join_all};
use ports::{Email, ErrorKind, Mail};

use crate::{
    MailerFixture, ReceivedMail,
    support::{assert_refused, in_time, unique},
};

/// One test per case on the mailer of `$fixture`, a future of a [`MailerFixture`](crate::MailerFixture).
#[macro_export]
macro_rules! mailer {
    ($($fixture:tt)+) => {
        $crate::tests_of! { mailer [
            a_mail_arrives_as_it_was_written,
            each_recipient_gets_their_own_mails_once,
            sending_does_not_wait_for_the_delivery,
            a_subject_with_a_line_break_is_invalid,
        ] $($fixture)+ }
    };
}

fn fresh_address() -> Email {
    Email::parse(&format!("{}@example.org", unique().simple())).unwrap()
}

fn mail(to: &Email, subject: &str, text: &str) -> Mail {
    Mail { to: to.clone(), subject: subject.to_owned(), text: text.into() }
}

/// The mails of `to`, once there are so many.
async fn arrived(fixture: &MailerFixture, to: &Email, count: usize) -> Vec<ReceivedMail> {
    in_time(async {
        loop {
            let mails = fixture.inbox.mails(to).await;
            if mails.len() >= count {
                return mails;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub async fn a_mail_arrives_as_it_was_written(fixture: MailerFixture) {
    let long = "a line that is much longer than what mail servers take in one piece ".repeat(20);
    let dots = ".\n..\n.a line that begins with a dot\nand one in the middle\n.\nFrom the start";
    for (subject, text) in [
        ("Your code", "Hello,\n\nyour code is 123456.\n\n  indented, and a tab\there\n"),
        ("Dots", dots),
        ("Grüße aus Köln: ein Code für Żółw", "Ein Code für dich: 123456.\nこんにちは\n🔑 = key\n"),
        ("Long", &long),
        ("Looks = encoded", "=3D and =?utf-8?Q?x?= stay what they are\n"),
    ] {
        let to = fresh_address();
        fixture.mailer.send(mail(&to, subject, text)).await.unwrap();
        let mails = arrived(&fixture, &to, 1).await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].subject, subject);
        // A mail ends with a line's end, whether or not it was written.
        assert_eq!(mails[0].text.trim_end_matches('\n'), text.trim_end_matches('\n'));
    }
}

pub async fn each_recipient_gets_their_own_mails_once(fixture: MailerFixture) {
    let people: Vec<Email> = (0..12).map(|_| fresh_address()).collect();
    let sends = people.iter().enumerate().flat_map(|(at, to)| {
        ["first", "second"].map(|which| fixture.mailer.send(mail(to, &format!("{which} to {at}"), "x\n")))
    });
    try_join_all(sends).await.unwrap();
    let inboxes = join_all(people.iter().map(|to| arrived(&fixture, to, 2))).await;
    for (at, mails) in inboxes.iter().enumerate() {
        let mut subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, [format!("first to {at}"), format!("second to {at}")]);
    }
}

pub async fn sending_does_not_wait_for_the_delivery(fixture: MailerFixture) {
    let to = fresh_address();
    fixture.inbox.hold(true);
    in_time(fixture.mailer.send(mail(&to, "held", "x\n"))).await.unwrap();
    fixture.inbox.hold(false);
    assert_eq!(arrived(&fixture, &to, 1).await[0].subject, "held");
}

pub async fn a_subject_with_a_line_break_is_invalid(fixture: MailerFixture) {
    let (to, other) = (fresh_address(), fresh_address());
    for end in ["\r\n", "\n", "\r"] {
        let subject = format!("Hello{end}Bcc: {}", other.expose());
        assert_refused(fixture.mailer.send(mail(&to, &subject, "x\n")).await, ErrorKind::InvalidInput);
    }
    // What came later has arrived, and nothing before it.
    fixture.mailer.send(mail(&to, "fine", "x\n")).await.unwrap();
    let mails = arrived(&fixture, &to, 1).await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "fine");
    assert!(fixture.inbox.mails(&other).await.is_empty());
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        let source = include_str!("mailer.rs");
        crate::support::assert_all_listed(source, &[source]);
    }
}
