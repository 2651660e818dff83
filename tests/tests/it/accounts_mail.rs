//! Mail that goes to a real server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    accounts::{PASSWORD, anybody, dev_codes, login, post, sign_up, stranger},
    smtp_server::{Fault, SmtpServer},
    support::{Server, run, stdout_json, until},
};

fn settings(smtp: &SmtpServer) -> Vec<(&'static str, String)> {
    vec![
        ("identity.email_confirmation_required", "true".to_owned()),
        ("mail.transport", "smtp".to_owned()),
        ("mail.sender", "Clarity <clarity@example.org>".to_owned()),
        ("mail.smtp.host", smtp.address.ip().to_string()),
        ("mail.smtp.port", smtp.address.port().to_string()),
        ("mail.smtp.tls", "none".to_owned()),
    ]
}

fn mailing(smtp: &SmtpServer) -> Server {
    let settings = settings(smtp);
    Server::start(&settings.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>())
}

/// The code in the newest of `count` mails.
async fn mailed_code(smtp: &SmtpServer, email: &str, count: usize) -> String {
    until("the mail", async || smtp.mails(email).len() >= count).await;
    let mails = smtp.mails(email);
    assert_eq!(mails.len(), count);
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    let text = &mails[count - 1].text;
    text.lines().map(str::trim).find(is_code).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

#[tokio::test]
async fn codes_arrive_by_mail_and_stand_nowhere_else() {
    let smtp = SmtpServer::plain().await;
    // Greylisting: the first mail comes with the second attempt.
    smtp.fail([Fault::Answer("RCPT", "450 come back later")]);
    let server = mailing(&smtp);
    let (phone, email) = (anybody(&server), stranger());
    sign_up(&phone, &email).await.expect(202).unwrap();
    let code = mailed_code(&smtp, &email, 1).await;
    let mail = &smtp.mails(&email)[0];
    assert_eq!(
        (mail.from.as_str(), mail.subject.as_str()),
        ("clarity@example.org", "Confirm your e-mail address")
    );
    assert!(mail.text.contains("15 minutes") && mail.text.contains("If it was not you"), "{}", mail.text);
    let body = json!({ "email": email, "code": code });
    post(&phone, "auth/confirm-email", body).await.expect(200).unwrap();
    login(&phone, &email, PASSWORD).await.expect(200).unwrap();

    post(&phone, "auth/forgot-password", json!({ "email": email })).await.expect(200).unwrap();
    let reset = mailed_code(&smtp, &email, 2).await;
    let body = json!({ "email": email, "code": reset, "new_password": "another long password" });
    post(&phone, "auth/reset-password", body).await.expect(200).unwrap();
    // Nobody signed up with this one, so nobody is mailed: by the time of the next mail it would have come.
    let nobody = stranger();
    post(&phone, "auth/forgot-password", json!({ "email": nobody })).await.expect(200).unwrap();
    post(&phone, "auth/forgot-password", json!({ "email": email })).await.expect(200).unwrap();
    mailed_code(&smtp, &email, 3).await;
    assert!(smtp.mails(&nobody).is_empty());

    assert!(dev_codes(server.data.path(), &email).is_empty());
    server.started.terminate().unwrap();
    let (status, log) = server.started.wait().unwrap();
    assert!(status.success());
    for secret in [code.as_str(), reset.as_str(), email.as_str()] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(log.contains("a mail was not taken for now"), "{log}");
}

// On several threads: one waits for the server's end while the mail server works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_does_not_answer_holds_up_nobody_and_gets_its_mail_later() {
    let smtp = SmtpServer::plain().await;
    smtp.hold(true);
    let server = mailing(&smtp);
    let (phone, email) = (anybody(&server), stranger());
    let answer = tokio::time::timeout(Duration::from_secs(20), sign_up(&phone, &email)).await;
    answer.expect("sign-up does not wait for mail").expect(202).unwrap();
    // A stop gives what waits its chance.
    until("the connection", async || smtp.connections() == 1).await;
    server.started.terminate().unwrap();
    smtp.hold(false);
    assert!(server.started.wait().unwrap().0.success());
    mailed_code(&smtp, &email, 1).await;
}

#[tokio::test]
async fn the_doctor_asks_the_mail_server() {
    let smtp = SmtpServer::plain().await;
    let data = tempfile::tempdir().unwrap();
    let doctor = async || {
        let mut arguments = vec!["doctor".to_owned(), "--json".to_owned(), "--data".to_owned()];
        arguments.push(data.path().to_str().unwrap().to_owned());
        let timeouts = ["connect_timeout_ms", "timeout_ms"].map(|key| format!("mail.smtp.{key}=1000"));
        arguments.extend(timeouts.into_iter().flat_map(|pair| ["--set".to_owned(), pair]));
        for (key, value) in settings(&smtp) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let run = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let report = stdout_json(&output);
        let finding = |finding: &&Value| finding["check"] == "mail";
        report["findings"].as_array().unwrap().iter().find(finding).unwrap().clone()
    };
    assert_eq!(doctor().await["ok"], true);
    assert_eq!(smtp.connections(), 1);
    for (fault, seen) in [
        (Fault::Answer("EHLO", "550 not for you"), "550"),
        (Fault::Drop("EHLO"), "connect"),
        (Fault::Silence("CONNECT"), "connect"),
    ] {
        smtp.fail([fault]);
        let finding = doctor().await;
        assert_eq!(finding["ok"], false, "{fault:?}");
        assert!(finding["seen"].as_str().unwrap().contains(seen), "{finding}");
        assert!(finding["advice"].as_str().unwrap().contains("mail.smtp"), "{finding}");
    }
}
