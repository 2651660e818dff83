//! The product on other providers than a laptop's, chosen by configuration alone: records, queue and events in PostgreSQL, all
//! stores of AWS, and a mixture.

use std::{collections::BTreeMap, io::Cursor, sync::LazyLock, time::Duration};

use e2e::{Clarity, Phone, Started, read};
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use harness::{CognitoLocal, Durability, FaultProxy, Moto, Postgres, Redis};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::support::{
    command, healthkit, new_id, problem, processed, quantity, run, stdout_json, until, upload,
};

/// One server for all tests of this process; each has a database of its own.
static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(Durability::None).unwrap());

/// What instances of one deployment have in common.
pub(crate) struct Site {
    settings: Vec<(String, String)>,
    /// The accounts, and what else is local.
    data: TempDir,
}

impl Site {
    pub(crate) fn new(settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        // So that each raw body becomes an object.
        let inline = ("ingest.raw_inline_bytes_max".to_owned(), "0".to_owned());
        let settings = settings.chain([inline]).collect();
        Self { settings, data: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn start(&self) -> Started {
        self.start_with(&[])
    }

    fn start_with(&self, arguments: &[&str]) -> Started {
        let clarity = Clarity::serve(self.data.path()).unwrap().args(arguments);
        let set = |clarity: Clarity, (key, value): &(String, String)| clarity.set(key, value);
        self.settings.iter().fold(clarity, set).start().unwrap()
    }

    /// `clarity` with what an instance is started with.
    fn run(&self, arguments: &[&str]) -> Value {
        let set = self.settings.iter().map(|(key, value)| format!("--set={key}={value}"));
        let set: Vec<String> = set.collect();
        let folder = self.data.path().to_str().unwrap();
        let given = set.iter().map(String::as_str);
        let arguments: Vec<&str> =
            arguments.iter().copied().chain(["--json", "--data", folder]).chain(given).collect();
        let output = run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout_json(&output)
    }
}

pub(crate) async fn database() -> String {
    let name = format!("clarity_{}", new_id().replace('-', ""));
    let mut connection = PgConnection::connect(&POSTGRES.url("postgres")).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    POSTGRES.url(&name)
}

async fn on_postgres() -> Site {
    let url = database().await;
    let by_port = ["health_data", "jobs", "events"].map(|port| match port {
        "health_data" => ("providers.health_data", "postgres".to_owned()),
        "jobs" => ("providers.jobs", "postgres".to_owned()),
        _ => ("providers.events", "postgres".to_owned()),
    });
    Site::new(by_port.into_iter().chain([("postgres.url", url)]))
}

/// An account on moto of its own.
pub(crate) fn account() -> Vec<(&'static str, String)> {
    let (moto, unique) = (Moto::start().unwrap(), new_id().replace('-', ""));
    let region = moto.region();
    vec![
        ("aws.region", region.to_owned()),
        ("aws.endpoint", moto.url().to_owned()),
        ("aws.access_key_id", "test".to_owned()),
        ("aws.secret_access_key", "test".to_owned()),
        ("aws.path_style", "true".to_owned()),
        ("aws.table", format!("records-{unique}")),
        ("aws.bucket", format!("objects-{unique}")),
        ("aws.queue", format!("jobs-{unique}.fifo")),
        ("aws.dead_letter_queue", format!("dead-{unique}.fifo")),
        ("aws.topic_arn", format!("arn:aws:sns:{region}:123456789012:events-{unique}.fifo")),
        // moto answers one at a time, and the machine may be busy.
        ("aws.attempt_timeout_ms", "60000".to_owned()),
        ("aws.operation_timeout_ms", "120000".to_owned()),
    ]
}

fn on_aws() -> Site {
    site_on_aws(account())
}

/// All stores of the account that `settings` name; of a key that is there twice, the last counts.
pub(crate) fn site_on_aws(settings: impl IntoIterator<Item = (&'static str, String)>) -> Site {
    let ports = [
        "providers.health_data",
        "providers.objects",
        "providers.jobs",
        "providers.events",
        "providers.secrets",
    ];
    let site = Site::new(settings.into_iter().chain(ports.map(|port| (port, "aws".to_owned()))));
    // Making what is there already changes nothing.
    for _ in 0..2 {
        let made = site.run(&["cloud", "init", "--provider", "aws"]);
        assert_eq!(made.as_array().unwrap().len(), 5, "{made}");
    }
    site
}

/// A server that ends with the test.
pub(crate) fn redis() -> Redis {
    Redis::start().unwrap()
}

async fn on_both() -> Site {
    let ports = [("providers.health_data", "postgres".to_owned()), ("providers.objects", "aws".to_owned())];
    let site = Site::new(account().into_iter().chain(ports).chain([("postgres.url", database().await)]));
    site.run(&["cloud", "init", "--provider", "aws"]);
    site
}

/// 200 heart rates of a morning.
fn many(phone: &Phone, day: u32) -> Value {
    let reading = |n: u32| {
        let at = format!("2025-03-{:02}T{:02}:{:02}:00+01:00", 1 + day, 8 + n / 60, n % 60);
        quantity("HeartRate", 60.0 + f64::from(n * 7919 % 997) / 13.0, "count/min", &at, &at)
    };
    healthkit(phone, &(0..200).map(reading).collect::<Vec<_>>())
}

fn by_id(readings: Vec<Value>) -> BTreeMap<String, Value> {
    let id = |reading: &Value| reading["id"].as_str().unwrap_or_default().to_owned();
    readings.into_iter().map(|reading| (id(&reading), reading)).collect()
}

/// What was acknowledged is read back, survives `kill -9`, is exported, and is erased.
async fn what_is_acknowledged_is_there_until_it_is_erased(site: Site) {
    let mut server = site.start();
    let phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
    let body = many(&phone, 0);
    let first = upload(&phone, &body).await;
    assert_eq!(first["receipts"]["accepted"], 200, "{first}");
    let again = upload(&phone, &body).await;
    assert_eq!((&again["receipts"]["accepted"], &again["receipts"]["duplicate"]), (&json!(0), &json!(200)));
    upload(&phone, &many(&phone, 1)).await;
    let readings = by_id(phone.all_readings().await.unwrap());
    assert_eq!(readings.len(), 400);
    let days = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
    let days = days["data"].as_array().unwrap().len();
    assert_eq!(days, 2);

    server.kill().unwrap();
    let server = site.start();
    let phone = phone.at(server.address().unwrap());
    assert_eq!(by_id(phone.all_readings().await.unwrap()), readings);
    let upload_id = first["upload_id"].as_str().unwrap();
    phone.delete(&format!("health-data/{upload_id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(phone.all_readings().await.unwrap().len(), 200);

    let export = phone.request(Method::GET, "users/me/export").send().await.unwrap();
    assert_eq!(export.status(), 200);
    let export = export.bytes().await.unwrap();
    assert!(export.starts_with(b"PK") && Cursor::new(&export).get_ref().len() > 1000);
    let receipt = phone.delete("users/me").await.unwrap().expect(200).unwrap();
    let emptied = |store: &str| {
        let stores = receipt["stores"].as_array().unwrap();
        stores
            .iter()
            .find(|emptied| emptied["store"] == store)
            .map_or(0, |emptied| emptied["count"].as_u64().unwrap())
    };
    assert!(emptied("records") > 5 && emptied("objects") >= 1, "{receipt}");
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
}

/// Of requests with one key, sent to two instances at once, one has an effect.
async fn of_a_request_that_is_sent_often_one_counts(site: Site) {
    let (one, other) = (site.start(), site.start());
    let phone = Phone::sign_up(one.address().unwrap()).await.unwrap();
    let elsewhere = phone.at(other.address().unwrap());
    let (body, key) = (many(&phone, 0), new_id());
    let send = async |phone: &Phone| loop {
        let request = phone.request(Method::POST, "healthkit").header("idempotency-key", &key).json(&body);
        let answer = read(request).await.unwrap();
        // Another copy is being worked on, in this process.
        if answer.status != 409 {
            return answer.expect(202).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let answers = join_all((0..8).map(|n| send(if n % 2 == 0 { &phone } else { &elsewhere }))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0]["receipts"]["accepted"], 200);
    assert_eq!(phone.all_readings().await.unwrap().len(), 200);
}

/// Whoever listens at one instance hears of what was sent to another.
async fn instances_hear_of_each_other(site: Site) {
    let (one, other) = (site.start(), site.start());
    let phone = Phone::sign_up(one.address().unwrap()).await.unwrap();
    let mut stream = phone.request(Method::GET, "events").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let elsewhere = phone.at(other.address().unwrap());
    let sent = upload(&elsewhere, &many(&phone, 0)).await;
    let upload_id = sent["upload_id"].as_str().unwrap();
    let mut heard = String::new();
    let listen = async {
        while !(heard.contains("upload.completed") && heard.contains(upload_id)) {
            heard += &String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap());
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, listen).await.expect("the event comes");
}

macro_rules! on_each {
    ($($name:ident),+ $(,)?) => {
        on_each!(@ postgres (super::on_postgres().await) $($name),+);
        on_each!(@ aws (super::on_aws()) $($name),+);
        on_each!(@ both (super::on_both().await) $($name),+);
    };
    (@ $provider:ident $site:tt $($name:ident),+) => {
        mod $provider {
            $(#[tokio::test]
            async fn $name() {
                super::$name($site).await;
            })+
        }
    };
}

on_each!(
    what_is_acknowledged_is_there_until_it_is_erased,
    of_a_request_that_is_sent_often_one_counts,
    instances_hear_of_each_other,
);

#[tokio::test]
async fn tables_are_looked_after_on_the_command_line() {
    let site =
        Site::new([("providers.health_data", "postgres".to_owned()), ("postgres.url", database().await)]);
    let states = |versions: &Value| -> Vec<String> {
        let versions = versions.as_array().unwrap();
        versions.iter().map(|version| version["state"].as_str().unwrap().to_owned()).collect()
    };
    let before = states(&site.run(&["db", "status"]));
    assert!(!before.is_empty() && before.iter().all(|state| state == "pending"), "{before:?}");
    // Nothing is done half: old tables are refused unless the start may change them.
    let folder = site.data.path().to_str().unwrap();
    let url = format!("--set=postgres.url={}", site.settings[1].1);
    let serve =
        ["serve", "--data", folder, "--listen", "127.0.0.1:0", "--set=providers.health_data=postgres", &url];
    let refused = command(&serve).args(["--set=postgres.migrate_at_start=false"]).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("clarity db migrate"), "{words}");
    assert!(!words.contains("clarity@127"), "{words}");
    assert!(states(&site.run(&["db", "migrate"])).iter().all(|state| state == "applied"));
    let server = site.start();
    let phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
    upload(&phone, &many(&phone, 0)).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/health/db", server.address().unwrap());
    let health = read(client.get(&url)).await.unwrap().expect(200).unwrap();
    let pool = |name: &str| health["pool"][name].as_u64().unwrap();
    assert!(pool("open") >= 1 && pool("idle") <= pool("open") && pool("max") == 10, "{health}");
    drop(server);
    assert!(states(&site.run(&["db", "rollback", "0"])).iter().all(|state| state == "pending"));
}

/// A user pool of cognito-local's, with an app client.
async fn user_pool() -> (CognitoLocal, Vec<(&'static str, String)>) {
    let server = CognitoLocal::shared().unwrap();
    let ask = async |action: &str, body: Value| -> Value {
        let request = reqwest::Client::new().post(server.url()).body(body.to_string());
        let request = request
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{action}"));
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let pool =
        json!({ "PoolName": "people", "UsernameAttributes": ["email"], "AutoVerifiedAttributes": ["email"] });
    let pool = ask("CreateUserPool", pool).await["UserPool"]["Id"].as_str().unwrap().to_owned();
    let flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"];
    let client = json!({ "UserPoolId": pool, "ClientName": "clarity", "ExplicitAuthFlows": flows, "EnableTokenRevocation": true });
    let client =
        ask("CreateUserPoolClient", client).await["UserPoolClient"]["ClientId"].as_str().unwrap().to_owned();
    let settings = vec![
        ("providers.identity", "aws".to_owned()),
        ("aws.region", "eu-central-1".to_owned()),
        ("aws.access_key_id", "test".to_owned()),
        ("aws.secret_access_key", "test".to_owned()),
        ("aws.cognito_endpoint", server.url()),
        ("aws.user_pool_issuer", format!("{}/{pool}", server.url())),
        ("aws.user_pool_id", pool),
        ("aws.client_id", client),
        // cognito-local knows no SRP.
        ("aws.sign_in_flow", "password".to_owned()),
    ];
    (server, settings)
}

/// Accounts in a user pool: signing up, confirming, signing in, uploading, refreshing, and a sign-out that counts at once.
#[tokio::test]
async fn accounts_may_be_in_cognito() {
    let (pool, settings) = user_pool().await;
    let site = Site::new(settings);
    let (one, other) = (site.start(), site.start());
    let (email, password) = (format!("{}@example.org", new_id()), "correct horse battery 1");
    let post = async |path: &str, body: Value| {
        let url = format!("http://{}/api/v1/{path}", one.address().unwrap());
        read(reqwest::Client::new().post(url).json(&body)).await.unwrap()
    };
    let sign_in = json!({ "email": email, "password": password });
    post("auth/register", sign_in.clone()).await.expect(202).unwrap();
    let early = post("auth/login", sign_in).await;
    assert_eq!(problem(&early, 403), "email-not-verified");
    let mail = pool.mail();
    let mut mails = mail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let code = mails.rfind(|mail| mail["to"] == email.as_str()).unwrap()["code"].clone();
    post("auth/confirm-email", json!({ "email": email, "code": code })).await.expect(200).unwrap();
    let wrong = post("auth/login", json!({ "email": email, "password": "not it at all" })).await;
    assert_eq!(problem(&wrong, 401), "wrong-credentials");
    let mut phone = Phone::sign_in(one.address().unwrap(), &email, password).await.unwrap();
    upload(&phone, &many(&phone, 0)).await;
    assert_eq!(phone.at(other.address().unwrap()).all_readings().await.unwrap().len(), 200);
    let refreshed = post("auth/refresh", json!({ "refresh_token": phone.refresh_token })).await;
    phone.take_tokens(&refreshed.expect(200).unwrap()).unwrap();
    let elsewhere = phone.at(other.address().unwrap());
    elsewhere.get("auth/me").await.unwrap().expect(200).unwrap();
    phone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
    assert_eq!(problem(&elsewhere.get("auth/me").await.unwrap(), 401), "unauthorized");
}

/// The name under which a run of this suite is told which providers to take; see `suites`.
const PROVIDERS: &str = "CLARITY_TEST_PROVIDERS";

/// The settings of fresh providers of the kind that this process was started for; none where it was not.
#[expect(clippy::disallowed_methods, reason = "the suite is told by nothing else which providers to run on")]
pub(crate) fn chosen() -> Vec<(String, String)> {
    let site = match std::env::var(PROVIDERS).as_deref() {
        Ok("aws") => on_aws(),
        // Callers are in a runtime already, and wait.
        Ok("both") => {
            std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(on_both())).join().unwrap()
        }
        _ => return Vec::new(),
    };
    // Small bodies stay in their records, as those tests expect.
    site.settings.into_iter().filter(|(key, _)| key != "ingest.raw_inline_bytes_max").collect()
}

/// The tests of uploads, results, insights and accounts, which know nothing of providers, once more on others: this binary runs itself.
mod suites {
    use std::process::Command;

    use super::PROVIDERS;

    /// A piece of everything; `make test-on` runs all of these modules.
    const SUITE: &[&str] = &[
        "uploads::ten_heart_rates_of_one_healthkit_upload",
        "uploads::each_faulty_sample_gets_its_own_receipt",
        "uploads::a_deleted_upload_is_gone_from_readings_and_measures",
        "uploads::samples_deleted_on_the_phone",
        "uploads::two_people_never_see_each_other",
        "compat::contract::accounts",
        "compat::contract::insights",
        "compat::contract::pat",
        "compat::hours::the_hours_of_a_day",
        "accounts_sessions::",
    ];

    fn run_on(providers: &str) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(SUITE).args(["--test-threads", "4"]);
        let output = command.env(PROVIDERS, providers).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        println!(
            "on {providers}: {}",
            said.lines().rfind(|line| line.starts_with("test result")).unwrap_or(&said)
        );
        for part in SUITE {
            let name = format!("test {part}");
            assert!(
                said.lines().any(|line| line.starts_with(&name) && line.ends_with("ok")),
                "nothing of {part} ran"
            );
        }
    }

    #[test]
    fn the_suite_runs_on_aws() {
        run_on("aws");
    }

    #[test]
    fn the_suite_runs_on_postgres_and_s3() {
        run_on("both");
    }
}

/// What `cloud manifest` prints is what `cloud init` made, and what a person reads says the same.
#[test]
fn the_manifest_names_what_is_made() {
    let site = on_aws();
    let manifest = site.run(&["cloud", "manifest", "--provider", "aws"]);
    let names = |list: &str| -> Vec<String> {
        let list = manifest[list].as_array().unwrap().iter();
        list.map(|resource| resource["name"].as_str().unwrap().to_owned()).collect()
    };
    let made = site.run(&["cloud", "init", "--provider", "aws", "--user-pool"]);
    let made: Vec<(String, String)> = serde_json::from_value(made).unwrap();
    for (list, kind) in [("tables", "dynamodb table"), ("buckets", "s3 bucket"), ("queues", "sqs queue")] {
        let made = made.iter().filter(|(made, _)| made == kind).map(|(_, name)| name.clone());
        assert_eq!(made.collect::<Vec<_>>(), names(list), "{list}");
    }
    assert_eq!(made[4], ("sns topic".to_owned(), manifest["topics"][0]["arn"].as_str().unwrap().to_owned()));
    assert_eq!(
        made.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>()[5..],
        ["cognito user pool", "cognito app client",]
    );
    let roles: Vec<_> =
        manifest["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(roles, ["service", "setup"]);
    let set: Vec<String> = site.settings.iter().map(|(key, value)| format!("--set={key}={value}")).collect();
    let arguments =
        ["cloud", "manifest", "--provider", "aws"].into_iter().chain(set.iter().map(String::as_str));
    let text = String::from_utf8(run(&arguments.collect::<Vec<_>>()).stdout).unwrap();
    for name in ["tables", "queues", "topics"].iter().flat_map(|list| names(list)) {
        assert!(text.contains(&name), "{text}");
    }
    assert!(text.contains("dynamodb:GetItem") && !text.contains("secret_access_key"), "{text}");
}

/// Locks of accounts in Cognito hold at all instances; while their store is away nobody signs in, and who is signed in stays so.
#[tokio::test]
async fn instances_lock_together_and_fail_closed_while_their_store_is_away() {
    let (pool, settings) = user_pool().await;
    let mut redis = Redis::start().unwrap();
    let shared = [("redis.url", redis.url()), ("identity.lockout_failures", "3".to_owned())];
    let site =
        Site::new(settings.into_iter().chain(shared).chain([("limits.logins_per_minute", "0".to_owned())]));
    let (one, other) = (site.start(), site.start());
    let (email, password) = (format!("{}@example.org", new_id()), "correct horse battery 1");
    let post = async |at: &Started, path: &str, body: Value| {
        let url = format!("http://{}/api/v1/{path}", at.address().unwrap());
        read(reqwest::Client::new().post(url).json(&body)).await.unwrap()
    };
    let login = async |at: &Started, password: &str| {
        post(at, "auth/login", json!({ "email": email, "password": password })).await
    };
    post(&one, "auth/register", json!({ "email": email, "password": password })).await.expect(202).unwrap();
    let mail = pool.mail();
    let mut mails = mail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let code = mails.rfind(|mail| mail["to"] == email.as_str()).unwrap()["code"].clone();
    post(&one, "auth/confirm-email", json!({ "email": email, "code": code })).await.expect(200).unwrap();
    let phone = Phone::sign_in(one.address().unwrap(), &email, password).await.unwrap();

    for at in [&one, &other, &one] {
        assert_eq!(problem(&login(at, "not it at all").await, 401), "wrong-credentials");
    }
    for at in [&one, &other] {
        let refused = login(at, password).await;
        assert_eq!(problem(&refused, 429), "locked");
        assert!(refused.headers.contains_key("retry-after"));
    }
    redis.stop().unwrap();
    for given in [password, "not it at all"] {
        let refused = login(&other, given).await;
        assert_eq!(problem(&refused, 503), "unavailable");
        assert!(refused.headers.contains_key("retry-after"));
    }
    // Sessions and their ends are in the record store.
    let elsewhere = phone.at(other.address().unwrap());
    elsewhere.get("auth/me").await.unwrap().expect(200).unwrap();
    phone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
    assert_eq!(problem(&elsewhere.get("auth/me").await.unwrap(), 401), "unauthorized");
    redis.resume().unwrap();
    // It came back empty, and with it went the lock.
    until("the store is back", async || login(&other, password).await.status == 200).await;
}

/// Instances with a Redis count together; without it each goes on by itself, and says so.
#[tokio::test]
async fn instances_count_together_while_their_store_is_there() {
    let mut redis = Redis::start().unwrap();
    let site = Site::new([("redis.url", redis.url()), ("limits.uploads_per_hour", "3".to_owned())]);
    let (one, other) = (site.start(), site.start());
    let phone = Phone::sign_up(one.address().unwrap()).await.unwrap();
    let elsewhere = phone.at(other.address().unwrap());
    let send = async |phone: &Phone| phone.post("healthkit", &many(phone, 0)).await.unwrap();
    for at in [&phone, &elsewhere, &phone] {
        send(at).await.expect(202).unwrap();
    }
    for at in [&phone, &elsewhere] {
        let refused = send(at).await;
        assert_eq!(problem(&refused, 429), "rate-limited");
        assert!(refused.headers.contains_key("retry-after"));
    }
    let cache = async || {
        let health = phone.get("health/ready").await.unwrap();
        health.body["cache"].as_str().unwrap().to_owned()
    };
    assert_eq!(cache().await, "up");
    redis.stop().unwrap();
    until("the store is missed", async || cache().await == "down").await;
    // Each of them counts again, from nothing.
    for _ in 0..3 {
        send(&elsewhere).await.expect(202).unwrap();
    }
    assert_eq!(problem(&send(&elsewhere).await, 429), "rate-limited");
    redis.resume().unwrap();
    until("the store is back", async || cache().await == "up").await;
    // It came back empty.
    send(&phone).await.expect(202).unwrap();
}

/// Records in PostgreSQL, the queue on SQS, and a server that is killed again and again while a phone uploads.
#[tokio::test]
async fn kills_lose_and_double_nothing() {
    const KILLS: u32 = 4;
    let ports = [("providers.health_data", "postgres".to_owned()), ("providers.jobs", "aws".to_owned())];
    let site = Site::new(account().into_iter().chain(ports).chain([("postgres.url", database().await)]));
    site.run(&["cloud", "init", "--provider", "aws"]);
    let mut server = site.start();
    let mut phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let bodies: Vec<Value> = (0..6).map(|n| many(&phone, kill * 6 + n)).collect();
        let mut sending: FuturesUnordered<_> =
            bodies.iter().map(|body| phone.post("healthkit", body)).collect();
        // The rest is in whatever state it is in.
        for _ in 0..=kill {
            acknowledged.push(sending.next().await.unwrap().unwrap().expect(202).unwrap());
        }
        server.kill().unwrap();
        while let Some(answer) = sending.next().await {
            if let Ok(answer) = answer {
                acknowledged.push(answer.expect(202).unwrap());
            }
        }
        drop(sending);
        server = site.start();
        phone = phone.at(server.address().unwrap());
        // What was sent again counts once.
        for body in &bodies {
            acknowledged.push(phone.post("healthkit", body).await.unwrap().expect(202).unwrap());
        }
    }
    for answer in &acknowledged {
        processed(&phone, answer["upload_id"].as_str().unwrap()).await;
    }
    let readings = phone.all_readings().await.unwrap();
    assert_eq!(readings.len(), (KILLS * 6 * 200) as usize);
    assert_eq!(by_id(readings).len(), (KILLS * 6 * 200) as usize);
}

/// The profile `localstack`, with a proxy in place of each of its servers: each service is asked at its own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profile_localstack_asks_each_service_at_its_own_address() {
    let moto = Moto::start().unwrap();
    let [all, records, objects] = [(); 3].map(|()| FaultProxy::start(moto.port()));
    let (all, records, objects) = (all.await.unwrap(), records.await.unwrap(), objects.await.unwrap());
    let unique = new_id().replace('-', "");
    let region = moto.region();
    let settings = [
        ("aws.endpoint", all.url()),
        ("aws.dynamodb_endpoint", records.url()),
        ("aws.s3_endpoint", objects.url()),
        // The names of moto's own regions, buckets and topics; the rest is the profile's.
        ("aws.region", region.to_owned()),
        ("aws.bucket", format!("objects-{unique}")),
        ("aws.topic_arn", format!("arn:aws:sns:{region}:123456789012:events-{unique}.fifo")),
        ("aws.attempt_timeout_ms", "60000".to_owned()),
        ("aws.operation_timeout_ms", "120000".to_owned()),
    ];
    let site = Site::new(settings);
    site.run(&["cloud", "init", "--provider", "aws", "--profile", "localstack"]);
    let before = [&all, &records, &objects].map(FaultProxy::requests);
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    let server = site.start_with(&["--profile", "localstack"]);
    let phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
    upload(&phone, &many(&phone, 0)).await;
    assert_eq!(phone.all_readings().await.unwrap().len(), 200);
    // An upload is at least a commit, a raw body, and a message.
    let after = [&all, &records, &objects].map(FaultProxy::requests);
    assert!(before.iter().zip(after).all(|(before, after)| after > *before), "{before:?}, then {after:?}");
}
