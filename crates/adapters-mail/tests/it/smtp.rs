//! What SMTP adds to the promises of the port.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use adapters_mail::{Credentials, Encryption, SmtpMailer, SmtpSettings};
use conformance::{Inbox, MailerFixture, ReceivedMail};
use futures::future::BoxFuture;
use ports::{Email, ErrorKind, Mail, Mailer};
use tokio::net::TcpSocket;

use crate::{
    inbox::{Line, capture, lines},
    server::{Fault, Security, SmtpServer},
    tls::Authority,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(server: SocketAddr) -> SmtpSettings {
    SmtpSettings {
        host: server.ip().to_string(),
        port: server.port(),
        encryption: Encryption::Plain,
        credentials: None,
        authority: None,
        sender: "Clarity <clarity@example.org>".to_owned(),
        connect_timeout: PATIENCE,
        timeout: PATIENCE,
        waiting_max: 100,
        retry_for: PATIENCE,
        retry_base: Duration::from_millis(5),
    }
}

fn encrypted(server: SocketAddr, encryption: Encryption, authority: PathBuf) -> SmtpSettings {
    let host = "localhost".to_owned();
    SmtpSettings { host, encryption, authority: Some(authority), ..settings(server) }
}

struct InServer(Arc<SmtpServer>);

impl Inbox for InServer {
    fn mails(&self, to: &Email) -> BoxFuture<'_, Vec<ReceivedMail>> {
        let mails = self.0.mails(to.expose()).into_iter();
        let received = mails.map(|mail| ReceivedMail { subject: mail.subject, text: mail.text }).collect();
        Box::pin(async { received })
    }

    fn hold(&self, held: bool) {
        self.0.hold(held);
    }
}

pub(crate) async fn fixture(security: Security) -> MailerFixture {
    let authority = Authority::of("localhost");
    let server = Arc::new(SmtpServer::start(security, Some(authority.acceptor.clone())).await);
    let settings = match security {
        Security::Plain => settings(server.address),
        Security::Starttls => encrypted(server.address, Encryption::Starttls, authority.pem.clone()),
        Security::Tls => encrypted(server.address, Encryption::Tls, authority.pem.clone()),
    };
    let mailer = Arc::new(SmtpMailer::new(settings).unwrap());
    MailerFixture { mailer, inbox: Arc::new(InServer(server)), guard: Box::new(authority) }
}

fn mail(to: &str) -> Mail {
    Mail {
        to: Email::parse(to).unwrap(),
        subject: "Your code".to_owned(),
        text: "The code is 271828.\n".to_owned().into(),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// Waits until a mailer in which one mail may wait is done with it, by sending another.
async fn done(mailer: &SmtpMailer) {
    until("room", || futures::executor::block_on(mailer.send(mail("next@example.org"))).is_ok()).await;
}

async fn arrives(server: &SmtpServer, to: &str) {
    until("the mail", || !server.mails(to).is_empty()).await;
    assert_eq!(server.mails(to).len(), 1);
}

#[tokio::test]
async fn what_the_server_does_not_take_for_now_is_tried_again() {
    for fault in [
        Fault::Answer("CONNECT", "421 too busy"),
        Fault::Answer("RCPT", "450 greylisted"),
        Fault::Answer(".", "451 try later"),
        Fault::Answer("MAIL", "452 full"),
        Fault::Drop("CONNECT"),
        Fault::Drop("EHLO"),
        Fault::Drop("DATA"),
        Fault::Drop("."),
    ] {
        let server = SmtpServer::plain().await;
        let mailer = SmtpMailer::new(settings(server.address)).unwrap();
        server.fail([fault, fault]);
        mailer.send(mail("anna@example.org")).await.unwrap();
        arrives(&server, "anna@example.org").await;
        assert_eq!(server.connections(), 3, "{fault:?}");
        let mail = &server.mails("anna@example.org")[0];
        assert_eq!(mail.from, "clarity@example.org");
    }
}

#[tokio::test]
async fn a_server_that_is_away_gets_the_mail_when_it_is_back() {
    // Bound and not listened on: connections are refused, and nobody else gets the port.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mailer = SmtpMailer::new(settings(socket.local_addr().unwrap())).unwrap();
    assert_eq!(mailer.check().await.unwrap_err().kind(), ErrorKind::Unavailable);
    mailer.send(mail("anna@example.org")).await.unwrap();
    let server = SmtpServer::on(socket.listen(8).unwrap(), Security::Plain, None);
    arrives(&server, "anna@example.org").await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_in_time_and_tried_again() {
    for stage in ["CONNECT", "EHLO", "RCPT", "."] {
        let server = SmtpServer::plain().await;
        let timeout = Duration::from_millis(300);
        let settings = SmtpSettings { connect_timeout: timeout, timeout, ..settings(server.address) };
        let mailer = SmtpMailer::new(settings).unwrap();
        server.fail([Fault::Silence(stage)]);
        mailer.send(mail("anna@example.org")).await.unwrap();
        until("another attempt", || server.connections() >= 2).await;
        until("the mail", || !server.mails("anna@example.org").is_empty()).await;
    }
}

#[tokio::test]
async fn how_the_server_says_goodbye_does_not_send_the_mail_twice() {
    for fault in [Fault::Drop("QUIT"), Fault::Answer("QUIT", "451 no"), Fault::Answer("QUIT", "500 what?")] {
        let server = SmtpServer::plain().await;
        let mailer = SmtpMailer::new(SmtpSettings { waiting_max: 1, ..settings(server.address) }).unwrap();
        server.fail([fault]);
        mailer.send(mail("anna@example.org")).await.unwrap();
        done(&mailer).await;
        arrives(&server, "next@example.org").await;
        assert_eq!((server.mails("anna@example.org").len(), server.connections()), (1, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_logged_without_the_address_and_not_repeated() {
    capture();
    let server = SmtpServer::plain().await;
    let mailer = SmtpMailer::new(settings(server.address)).unwrap();
    server.fail([
        Fault::Answer("RCPT", "550 no such user: secretive@example.org"),
        Fault::Answer("RCPT", "450 secretive@example.org is greylisted"),
        Fault::Answer("RCPT", "557 secretive@example.org is gone"),
    ]);
    mailer.send(mail("secretive@example.org")).await.unwrap();
    // The log is that of all tests, and any of its numbers may hold these digits.
    let refusals = |code: &str| {
        let is_refusal = |line: &&Line| line.message == "a mail was not delivered" && line.all.contains(code);
        lines().iter().filter(is_refusal).count()
    };
    let refusal = || server.connections() > 0 && refusals("550") > 0;
    until("the refusal", refusal).await;
    assert_eq!(server.connections(), 1);
    mailer.send(mail("secretive@example.org")).await.unwrap();
    let refusal = || server.connections() > 2 && refusals("557") > 0;
    until("the second refusal", refusal).await;
    assert_eq!(server.connections(), 3);
    assert!(server.mails("secretive@example.org").is_empty());
    let logged = lines();
    let refused = |line: &&Line| line.message == "a mail was not delivered" && line.all.contains("550");
    assert_eq!(logged.iter().find(refused).unwrap().level, "ERROR");
    for line in logged {
        assert!(!line.all.contains("secretive") && !line.all.contains("271828"), "{}", line.all);
    }
}

#[tokio::test]
async fn attempts_end_after_a_while() {
    let server = SmtpServer::plain().await;
    let retry_for = Duration::from_millis(100);
    let settings = SmtpSettings { retry_for, waiting_max: 1, ..settings(server.address) };
    let mailer = SmtpMailer::new(settings).unwrap();
    server.fail([Fault::Answer("CONNECT", "421 too busy"); 100]);
    mailer.send(mail("anna@example.org")).await.unwrap();
    done(&mailer).await;
    until("the next mail's attempt", || server.connections() >= 2).await;
    // Waits of five, ten, twenty and forty milliseconds; the next would be too long. And one attempt of the next mail.
    assert!(server.connections() <= 6, "{} attempts", server.connections());
    assert!(server.mails("anna@example.org").is_empty());
}

#[tokio::test]
async fn more_mails_than_may_wait_are_refused_and_room_comes_back() {
    let server = SmtpServer::plain().await;
    let mailer = SmtpMailer::new(SmtpSettings { waiting_max: 3, ..settings(server.address) }).unwrap();
    server.hold(true);
    for at in 0..3 {
        mailer.send(mail(&format!("user{at}@example.org"))).await.unwrap();
    }
    let refused = mailer.send(mail("late@example.org")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    server.hold(false);
    for at in 0..3 {
        arrives(&server, &format!("user{at}@example.org")).await;
    }
    done(&mailer).await;
    arrives(&server, "next@example.org").await;
}

#[tokio::test]
async fn stopping_tries_what_waits_at_once_and_does_not_wait_for_ever() {
    let server = SmtpServer::plain().await;
    let retry_base = PATIENCE / 2;
    let mailer = SmtpMailer::new(SmtpSettings { retry_base, ..settings(server.address) }).unwrap();
    server.fail([Fault::Answer("RCPT", "450 later")]);
    mailer.send(mail("anna@example.org")).await.unwrap();
    until("the first attempt", || server.connections() == 1).await;
    tokio::time::timeout(retry_base, mailer.stop(PATIENCE)).await.expect("it does not sit out the wait");
    assert_eq!(server.mails("anna@example.org").len(), 1);

    let mailer = SmtpMailer::new(settings(server.address)).unwrap();
    server.fail([Fault::Silence("EHLO")]);
    mailer.send(mail("bert@example.org")).await.unwrap();
    until("the attempt", || server.connections() == 3).await;
    tokio::time::timeout(PATIENCE / 2, mailer.stop(Duration::from_millis(50))).await.expect("it ends");
}

#[tokio::test]
async fn mail_goes_through_tls_and_so_does_the_password() {
    for (security, encryption) in
        [(Security::Starttls, Encryption::Starttls), (Security::Tls, Encryption::Tls)]
    {
        let authority = Authority::of("localhost");
        let server = SmtpServer::start(security, Some(authority.acceptor.clone())).await;
        let credentials =
            Credentials { username: "clarity".to_owned(), password: "hunter2".to_owned().into() };
        let settings = SmtpSettings {
            credentials: Some(credentials),
            ..encrypted(server.address, encryption, authority.pem.clone())
        };
        let mailer = SmtpMailer::new(settings).unwrap();
        mailer.check().await.unwrap();
        mailer.send(mail("anna@example.org")).await.unwrap();
        arrives(&server, "anna@example.org").await;
        let mail = &server.mails("anna@example.org")[0];
        assert!(mail.encrypted);
        // "\0clarity\0hunter2"
        assert_eq!(mail.login.as_deref(), Some("AGNsYXJpdHkAaHVudGVyMg=="));
    }
}

#[tokio::test]
async fn without_starttls_neither_mail_nor_password_is_sent() {
    capture();
    let authority = Authority::of("localhost");
    let server = SmtpServer::start(Security::Starttls, Some(authority.acceptor.clone())).await;
    let mailer =
        SmtpMailer::new(encrypted(server.address, Encryption::Starttls, authority.pem.clone())).unwrap();
    server.fail([Fault::NoStarttls, Fault::NoStarttls]);
    assert_eq!(mailer.check().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    mailer.send(mail("stripped@example.org")).await.unwrap();
    mailer.stop(PATIENCE).await;
    assert!(server.mails("stripped@example.org").is_empty());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_the_authority_does_not_vouch_for_gets_nothing() {
    for (security, encryption) in
        [(Security::Starttls, Encryption::Starttls), (Security::Tls, Encryption::Tls)]
    {
        let (trusted, other_name) = (Authority::of("localhost"), Authority::of("elsewhere.example.org"));
        let stranger = Authority::of("localhost");
        for (of_server, trusted) in [(&stranger, &trusted), (&other_name, &other_name)] {
            let server = SmtpServer::start(security, Some(of_server.acceptor.clone())).await;
            let settings = encrypted(server.address, encryption, trusted.pem.clone());
            let mailer = SmtpMailer::new(SmtpSettings { retry_for: Duration::ZERO, ..settings }).unwrap();
            mailer.check().await.unwrap_err();
            mailer.send(mail("anna@example.org")).await.unwrap();
            mailer.stop(PATIENCE).await;
            assert!(server.mails("anna@example.org").is_empty());
            assert_eq!(server.connections(), 2);
        }
    }
}

#[tokio::test]
async fn plain_text_goes_to_this_machine_only() {
    let address = "127.0.0.1:25".parse().unwrap();
    for host in ["mail.example.org", "192.0.2.1", "2001:db8::1", "localhost.example.org", "0.0.0.0"] {
        let settings = SmtpSettings { host: host.to_owned(), ..settings(address) };
        assert_eq!(SmtpMailer::new(settings).unwrap_err().kind(), ErrorKind::InvalidInput, "{host}");
    }
    for host in ["localhost", "127.0.0.1", "::1"] {
        SmtpMailer::new(SmtpSettings { host: host.to_owned(), ..settings(address) }).unwrap();
    }
}

#[tokio::test]
async fn settings_that_no_mail_can_be_sent_with_are_refused() {
    let address = "127.0.0.1:25".parse().unwrap();
    for sender in ["", "nobody", "Clarity <nobody>", "a@b\r\nBcc: c@d"] {
        let settings = SmtpSettings { sender: sender.to_owned(), ..settings(address) };
        assert_eq!(SmtpMailer::new(settings).unwrap_err().kind(), ErrorKind::InvalidInput, "{sender}");
    }
    let missing = encrypted(address, Encryption::Tls, PathBuf::from("/nowhere/authority.pem"));
    assert_eq!(SmtpMailer::new(missing).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn mails_say_that_a_machine_wrote_them_and_each_has_its_id() {
    let server = SmtpServer::plain().await;
    let mailer = SmtpMailer::new(settings(server.address)).unwrap();
    for to in ["anna@example.org", "bert@example.org"] {
        mailer.send(mail(to)).await.unwrap();
        arrives(&server, to).await;
    }
    let header = |to: &str, name: &str| {
        let mail = server.mails(to).remove(0);
        mail.headers.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let ids = ["anna@example.org", "bert@example.org"].map(|to| header(to, "Message-ID").unwrap());
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.starts_with('<') && id.ends_with("@example.org>")));
    assert_eq!(header("anna@example.org", "Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(header("anna@example.org", "From").as_deref(), Some("Clarity <clarity@example.org>"));
    assert_eq!(header("anna@example.org", "To").as_deref(), Some("anna@example.org"));
    assert!(header("anna@example.org", "Date").is_some());
}
