//! The command line: what it prints, what it hides and what it refuses.

use std::{net::TcpListener, process::Output};

use e2e::read;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, command, problem, processed, run, stdout_json};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sample(format: &str, rest: &[&str]) -> Vec<u8> {
    let arguments = [&["sample", "--format", format, "--start", "2025-03-03"], rest].concat();
    let output = run(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

#[test]
fn a_sample_depends_on_its_settings_only() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["healthkit", "health-data", "steps"] {
        let settings = ["--days", "5", "--seed", "11"];
        let first = sample(format, &settings);
        assert!(serde_json::from_slice::<Value>(&first).is_ok(), "{format}");
        assert!(first == sample(format, &settings), "{format}: the same settings give other bytes");
        assert!(
            first != sample(format, &["--days", "5", "--seed", "12"]),
            "{format}: every seed gives the same"
        );
        let file = folder.path().join(format);
        let output = sample(format, &[&settings[..], &["-o", file.to_str().unwrap()]].concat());
        assert!(
            output.is_empty() && std::fs::read(&file).unwrap() == first,
            "{format}: the file holds something else"
        );
    }
    let user = "0190b2a4-0000-7000-8000-00000000000a";
    let bodies: Value =
        serde_json::from_slice(&sample("healthkit", &["--days", "4", "--user", user])).unwrap();
    assert_eq!(bodies.as_array().unwrap().len(), 4);
    assert!(bodies.as_array().unwrap().iter().all(|body| body["user_id"] == user));
}

#[tokio::test]
async fn a_server_takes_every_sample_whole() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let days = ["--days", "8", "--user", &phone.user_id];
    let bodies: Value = serde_json::from_slice(&sample("health-data", &days)).unwrap();
    for body in bodies.as_array().unwrap() {
        let answer = phone.post("health-data", body).await.unwrap().expect(201).unwrap();
        assert_eq!(answer["validation_errors"], json!([]));
        assert_eq!(answer["accepted_metrics"], body["metrics"].as_array().unwrap().len());
    }
    let bodies: Value = serde_json::from_slice(&sample("healthkit", &days)).unwrap();
    for body in bodies.as_array().unwrap() {
        let answer = phone.post("healthkit", body).await.unwrap().expect(202).unwrap();
        assert_eq!(answer["receipts"]["rejected"], json!([]));
        processed(&phone, answer["upload_id"].as_str().unwrap()).await;
    }
    let steps: Value = serde_json::from_slice(&sample("steps", &["--days", "8"])).unwrap();
    let answer = phone.post("pat/step-analysis", &steps).await.unwrap().expect(200).unwrap();
    assert_eq!(answer["analysis"]["embedding"].as_array().unwrap().len(), 96);
}

#[test]
fn the_doctor_finds_a_healthy_house_healthy_and_says_what_an_ill_one_lacks() {
    let data = tempfile::tempdir().unwrap();
    let output = command(&["doctor", "--json", "--data"]).arg(data.path()).output().unwrap();
    let report = stdout_json(&output);
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &json!(true)), "{report}");
    let checks: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    // One line a model.
    assert_eq!(checks, ["configuration", "clock", "records", "objects", "jobs", "models", "models"]);

    let empty = tempfile::tempdir().unwrap();
    let models = format!("inference.models_dir={}", empty.path().display());
    let output =
        command(&["doctor", "--json", "--set", &models, "--data"]).arg(data.path()).output().unwrap();
    let report = stdout_json(&output);
    assert_eq!((output.status.code(), &report["ok"]), (Some(1), &json!(false)), "{report}");
    let ill: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().filter(|finding| finding["ok"] == false).collect();
    assert_eq!(ill.len(), 1);
    assert_eq!(ill[0]["check"], "models");
    assert!(ill[0]["advice"].as_str().is_some_and(|advice| !advice.is_empty()));

    let file = data.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let output = command(&["doctor", "--json", "--data"]).arg(&file).output().unwrap();
    assert_eq!((output.status.code(), &stdout_json(&output)["ok"]), (Some(1), &json!(false)));
}

#[test]
fn the_configuration_is_shown_with_its_sources_and_without_its_secrets() {
    let secrets = [
        ("GEMINI_API_KEY", "canary-api-key", "insight.gemini.api_key"),
        ("CLARITY__INSIGHT__GEMINI__ACCESS_TOKEN", "canary-access-token", "insight.gemini.access_token"),
        ("CLARITY__TELEMETRY__USER_HASH_KEY", "canary-hash-key", "telemetry.user_hash_key"),
    ];
    for json in [true, false] {
        let mut command = command(if json { &["config", "show", "--json"] } else { &["config", "show"] });
        command.envs(secrets.map(|(name, value, _)| (name, value))).args(["--set", "worker.concurrency=3"]);
        let output = command.output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert!(!text.contains("canary"), "{text}");
        if !json {
            continue;
        }
        let shown = stdout_json(&output);
        assert_eq!(shown["profile"], "development");
        for (name, _, key) in secrets {
            let expected = json!({ "value": "***", "source": format!("environment variable {name}") });
            assert_eq!(shown["settings"][key], expected);
        }
        assert_eq!(shown["settings"]["worker.concurrency"], json!({ "value": 3, "source": "command line" }));
        assert_eq!(shown["settings"]["identity.self_sign_up"]["source"], "config/development.toml");
        assert_eq!(shown["settings"]["worker.lease_ms"]["source"], "config/default.toml");
    }
}

/// The faults of a command that must end with 64, each as its key and its source.
fn faults(output: &Output) -> Vec<(String, String)> {
    assert_eq!(output.status.code(), Some(64), "{}", stderr(output));
    assert!(output.stdout.is_empty());
    let faults: Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
    let mut faults: Vec<_> =
        faults.as_array().unwrap().iter().map(|fault| (text(fault, "key"), text(fault, "source"))).collect();
    faults.sort();
    faults
}

#[test]
fn every_fault_of_a_configuration_is_named_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A port that is taken: whoever tried to bind it would say so instead.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let serve =
        ["serve", "--json", "--listen", &listen, "--set", "server.workers=0", "--set", "worker.nonsense=1"];
    let start = |json: bool| {
        let mut command = command(&serve);
        if !json {
            let plain: Vec<&str> = serve.into_iter().filter(|argument| *argument != "--json").collect();
            command = self::command(&plain);
        }
        command.env("CLARITY__WORKER__CONCURRENCY", "many").env("PORT", "99999");
        command.env("CLARITY__INSIGHT__WRITER", "gemini").env("GEMINI_API_KEY", "canary-api-key");
        command.arg("--data").arg(&data).output().unwrap()
    };
    let output = start(true);
    let seen = faults(&output);
    for (key, source) in [
        ("server.listen", "environment variable PORT"),
        ("server.workers", "command line"),
        ("worker.concurrency", "environment variable CLARITY__WORKER__CONCURRENCY"),
        ("worker.nonsense", "command line"),
        ("insight.gemini.covered", "config/default.toml"),
    ] {
        assert!(
            seen.contains(&(key.to_owned(), source.to_owned())),
            "{key} from {source} is not in {seen:?}"
        );
    }
    assert!(!stderr(&output).contains("canary"));
    assert!(!data.exists(), "the data folder was made");
    // People get one line each.
    let plain = start(false);
    assert_eq!(plain.status.code(), Some(64));
    let text = stderr(&plain);
    assert_eq!(text.lines().count(), seen.len(), "{text}");
    assert!(text.contains("server.workers: ") && text.contains("[command line]"), "{text}");
}

#[test]
fn production_refuses_what_is_for_one_persons_machine() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--profile", "production", "--data"];
    let seen = faults(&command(&serve).arg(&data).output().unwrap());
    let keys: Vec<&str> = seen.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        ["mail.transport", "providers.identity", "server.public_url", "telemetry.user_hash_key"]
    );
    // The local identity provider stays refused, whatever else is put right.
    let mut whole = command(&serve);
    whole.arg(&data).env("CLARITY__TELEMETRY__USER_HASH_KEY", "0123456789abcdef0123456789abcdef");
    whole.args(["--set", "server.public_url=https://api.example.org"]);
    assert_eq!(
        faults(&whole.output().unwrap()),
        ["mail.transport", "providers.identity"]
            .map(|key| (key.to_owned(), "config/default.toml".to_owned()))
    );
    assert!(!data.exists());
    let unknown = command(&["serve", "--json", "--profile", "prod"]).output().unwrap();
    assert_eq!(faults(&unknown), [("profile".to_owned(), "command line".to_owned())]);
}

#[test]
fn a_port_that_is_taken_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = command(&["serve", "--listen", &listen, "--data"]).arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&listen) && stderr(&output).contains("--listen"), "{}", stderr(&output));
    assert!(!data.exists(), "the data folder was made");
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("clarity") && script.contains("doctor"), "{shell}");
    }
}

#[tokio::test]
async fn a_developer_sees_the_code_that_would_have_been_mailed() {
    let server = Server::start(&[("identity.email_confirmation_required", "true")]);
    let client = reqwest::Client::new();
    let account = json!({ "email": "anna@example.org", "password": "a long password" });
    let post = async |path: &str| {
        read(client.request(Method::POST, server.url(&format!("/api/v1/auth/{path}"))).json(&account))
            .await
            .unwrap()
    };
    let answer = post("register").await.expect(202).unwrap();
    assert_eq!(answer["requires_email_verification"], true);
    assert!(answer.get("access_token").is_none());
    assert_eq!(problem(&post("login").await, 403), "email-not-verified");

    let codes = command(&["dev", "codes", "--json", "--data"]).arg(server.data.path()).output().unwrap();
    let codes = stdout_json(&codes);
    assert_eq!(
        (&codes[0]["email"], &codes[0]["purpose"]),
        (&json!("anna@example.org"), &json!("confirm_email"))
    );
    let code = codes[0]["code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "six digits");
    assert!(!answer.to_string().contains(code));
    let staging = ["dev", "codes", "--json", "--profile", "staging", "--data"];
    let refused = command(&staging).arg(server.data.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty() && stderr(&refused).contains("development"), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains(code));
}

/// `clarity users` on the data folder of a server that runs.
pub(crate) fn users(server: &Server, arguments: &[&str]) -> Output {
    let mut command = command(&[&["users"], arguments].concat());
    command.arg("--data").arg(server.data.path()).output().unwrap()
}

#[tokio::test]
async fn accounts_are_looked_after_while_the_server_runs() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let email = phone.email.to_uppercase();
    let shown = stdout_json(&users(&server, &["show", &email, "--json"]));
    assert_eq!(shown["user_id"], phone.user_id);
    assert_eq!((&shown["email"], &shown["roles"]), (&json!(phone.email), &json!(["user"])));
    assert_eq!(
        (&shown["sessions"], &shown["disabled"], &shown["second_factor"]),
        (&json!(1), &json!(false), &json!(false))
    );

    let output = users(&server, &["roles", &email, "user,clinician"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("user, clinician"), "{text}{}", stderr(&output));
    assert!(text.contains("1 session ended"), "{text}");
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");

    let credentials = json!({ "email": phone.email, "password": phone.password });
    let login = || read(phone.anonymous(Method::POST, "auth/login").json(&credentials));
    let tokens = login().await.unwrap().expect(200).unwrap();
    let me = || {
        read(phone.anonymous(Method::GET, "auth/me").bearer_auth(tokens["access_token"].as_str().unwrap()))
    };
    assert_eq!(me().await.unwrap().expect(200).unwrap()["roles"], json!(["user", "clinician"]));
    assert!(users(&server, &["disable", &email]).status.success());
    assert_eq!(problem(&me().await.unwrap(), 401), "unauthorized");
    assert_eq!(problem(&login().await.unwrap(), 403), "account-disabled");
    assert!(users(&server, &["enable", &email]).status.success());
    me().await.unwrap().expect(200).unwrap();
    let ended = stdout_json(&users(&server, &["end-sessions", &email, "--json"]));
    assert_eq!(ended["sessions"], 0);
    assert_eq!(problem(&me().await.unwrap(), 401), "unauthorized");
    login().await.unwrap().expect(200).unwrap();
}

#[test]
fn what_cannot_be_done_to_an_account_is_said_with_what_to_do() {
    let server = Server::start(&[]);
    for (arguments, status, words) in [
        (&["show", "anna"][..], 1, "no e-mail address"),
        (&["show", "nobody@example.org"], 1, "no account has this address"),
        (&["end-sessions", "nobody@example.org"], 1, "no account has this address"),
        (&["roles", "nobody@example.org", "admin"], 2, "roles are user, clinician and operator"),
        (&["roles", "nobody@example.org"], 2, "required"),
    ] {
        let output = users(&server, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn roles_that_do_not_go_together_are_refused() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let output = users(&server, &["roles", &phone.email, "user,operator"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`user,clinician` or `operator`"), "{}", stderr(&output));
    phone.get("auth/me").await.unwrap().expect(200).unwrap();
}
