//! What becomes of uploads while a service cannot be reached. A proxy stands before it and breaks every connection, or takes
//! them and never answers; meanwhile phones go on uploading.
//!
//! `CLARITY_OUTAGE_S` says for how long, 3 s without it; `make outage` takes 30 s.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::Phone;
use futures::future::join_all;
use harness::FaultProxy;
use serde_json::json;
use tokio::time::{sleep, timeout_at};

use crate::{
    providers::{Site, account, database, redis, site_on_aws},
    support::{healthkit, quantity},
};

/// How soon after the end of an outage an upload must be taken again.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// How long a request may take, whatever happens: all attempts of the three calls that an upload makes one after another.
const ANSWER_MAX: Duration = Duration::from_secs(25);
/// How soon all that was kept is processed: a user's jobs wait for each other, and the emulators answer one call at a time.
const DONE_MAX: Duration = Duration::from_mins(8);
const PHONES: usize = 3;
/// What the SDK may do for one call.
const ATTEMPTS_MAX: usize = 3;

/// How the service is away.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Cut,
    Silent,
}

/// What a request is told meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// 503, with when to come again.
    Unavailable,
    /// 202: the service is not needed to keep an upload.
    Accepted,
}

fn outage_length() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a length for the drill, which no test needs to be told")]
    let seconds = std::env::var("CLARITY_OUTAGE_S").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// What one phone saw.
#[derive(Default)]
struct Seen {
    uploads: Vec<String>,
    readings: BTreeSet<String>,
    /// When each request was sent, how long it took, and what was answered.
    answers: Vec<(Instant, Duration, u16)>,
}

/// Uploads two readings at a time until it is told to stop. What was not taken is sent again, as phones do.
async fn keep_uploading(phone: &Phone, number: usize, stop: &AtomicBool, seen: &Mutex<Seen>) {
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let readings = [0, 1].map(|part| {
            let (minute, second) = (round / 30 % 60, (round % 30) * 2 + part);
            let at =
                format!("2025-03-{:02}T{:02}:{minute:02}:{second:02}+01:00", 1 + number, 8 + round / 1800);
            quantity("HeartRate", 60.0 + f64::from(second % 30), "count/min", &at, &at)
        });
        let body = healthkit(phone, &readings);
        loop {
            let sent = Instant::now();
            let answer = phone.post("healthkit", &body).await.unwrap();
            let (took, status) = (sent.elapsed(), answer.status.as_u16());
            {
                let mut seen = seen.lock().unwrap();
                seen.answers.push((sent, took, status));
                if status == 202 {
                    let ids = readings.iter().map(|one| one["identifier"].as_str().unwrap().to_owned());
                    seen.readings.extend(ids);
                    seen.uploads.push(answer.body["upload_id"].as_str().unwrap().to_owned());
                }
            }
            if status == 202 {
                // As many uploads in a long outage as in a short one: the emulators take a second for a job.
                sleep(outage_length() / 20).await;
                break;
            }
            assert_eq!(status, 503, "{}", answer.body);
            let wait = answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
            assert!((1..=10).contains(&wait), "come again in {wait} s");
            if stop.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// Until a phone that waits for nothing is told that its upload is kept; answers how long that was.
async fn recovery(phone: &Phone, begun: Instant) -> Duration {
    for number in 0.. {
        let at = format!("2025-03-20T08:{:02}:{:02}+01:00", number / 60 % 60, number % 60);
        let body = healthkit(phone, &[quantity("HeartRate", 60.0, "count/min", &at, &at)]);
        let answer = timeout_at((begun + RECOVERY_MAX).into(), phone.post("healthkit", &body)).await;
        let answer =
            answer.unwrap_or_else(|_| panic!("nothing is taken {RECOVERY_MAX:?} after the end")).unwrap();
        if answer.status == 202 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

/// What was acknowledged is processed by `deadline`, and every reading of it is there once.
async fn assert_kept(phone: &Phone, seen: Seen, deadline: Instant) {
    for upload in &seen.uploads {
        let status = timeout_at(deadline.into(), phone.processed(upload)).await;
        let status = status.expect("what was kept is processed").unwrap();
        assert_eq!(status["status"], "completed", "{status}");
    }
    let held = phone.all_readings().await.unwrap();
    let ids: Vec<&str> = held.iter().map(|reading| reading["id"].as_str().unwrap()).collect();
    let distinct: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(distinct.len(), ids.len(), "a reading is there twice");
    let lost: Vec<&String> = seen.readings.difference(&distinct).collect();
    assert!(lost.is_empty(), "{} readings of {} are lost", lost.len(), seen.readings.len());
}

async fn drill(what: &str, site: &Site, proxy: &FaultProxy, outage: Outage, told: Told) {
    let server = site.start();
    let phones = join_all((0..PHONES).map(|_| Phone::sign_up(server.address().unwrap()))).await;
    let phones: Vec<Phone> = phones.into_iter().collect::<Result<_, _>>().unwrap();
    let idle = Phone::sign_up(server.address().unwrap()).await.unwrap();
    let seen: Vec<Arc<Mutex<Seen>>> = phones.iter().map(|_| Arc::default()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let load = phones.iter().zip(&seen).enumerate().map(|(number, (phone, seen))| {
        let (phone, seen, stop) = (phone.clone(), Arc::clone(seen), Arc::clone(&stop));
        tokio::spawn(async move { keep_uploading(&phone, number, &stop, &seen).await })
    });
    let load: Vec<_> = load.collect();
    recovery(&idle, Instant::now()).await;
    let began = Instant::now();
    match outage {
        Outage::Cut => proxy.cut(),
        Outage::Silent => proxy.silence(),
    }
    sleep(outage_length()).await;
    proxy.mend();
    let ended = Instant::now();
    let recovery = recovery(&idle, ended).await;
    stop.store(true, Ordering::SeqCst);
    for phone in load {
        phone.await.unwrap();
    }

    let (mut accepted, mut refused, mut longest) = (0, 0, Duration::ZERO);
    for seen in &seen {
        for (sent, took, status) in &seen.lock().unwrap().answers {
            longest = longest.max(*took);
            let is_within = *sent >= began && *sent + *took <= ended;
            accepted += usize::from(is_within && *status == 202);
            refused += usize::from(*status == 503);
        }
    }
    println!(
        "outage of {what} ({outage:?}, {:?}): {accepted} accepted and {refused} refused, the longest answer after {longest:.1?}, \
         taken again after {recovery:.2?}, at most {} attempts a call",
        outage_length(),
        proxy.attempts_max(),
    );
    assert!(longest <= ANSWER_MAX, "a request took {longest:?}");
    assert!(proxy.attempts_max() <= ATTEMPTS_MAX, "{} attempts", proxy.attempts_max());
    match told {
        // One of each phone may have been under way when the service went. A silence that ends soon is only waited for.
        Told::Unavailable => {
            let is_told = matches!(outage, Outage::Cut) || outage_length() > ANSWER_MAX;
            assert!(
                accepted <= PHONES && (refused > 0 || !is_told),
                "{accepted} accepted, {refused} refused"
            );
        }
        Told::Accepted => assert!(accepted > 0 && refused == 0, "{accepted} accepted, {refused} refused"),
    }
    for (phone, seen) in phones.iter().zip(&seen) {
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_kept(phone, seen, ended + DONE_MAX).await;
    }
    println!("outage of {what} ({outage:?}): all jobs are done {:.1?} after the end", ended.elapsed());
    let health = phones[0].get("health/ready").await.unwrap();
    assert_eq!(health.body["status"], json!("healthy"), "{}", health.body);
}

/// Timeouts as short as tests want them, and long enough for moto on a busy machine.
const TIMEOUTS: [(&str, &str); 2] =
    [("aws.attempt_timeout_ms", "4000"), ("aws.operation_timeout_ms", "8000")];

/// A site on AWS with a proxy before one service.
async fn through_proxy(endpoint: &'static str) -> (Site, FaultProxy) {
    let proxy = FaultProxy::start(harness::Moto::start().unwrap().port()).await.unwrap();
    let more = TIMEOUTS.map(|(key, value)| (key, value.to_owned()));
    let more = more.into_iter().chain([(endpoint, proxy.url())]);
    (site_on_aws(account().into_iter().chain(more)), proxy)
}

/// The port in a URL, and the URL with another one.
fn port_of(url: &str) -> u16 {
    let after = url.rsplit_once(':').unwrap().1;
    after.split('/').next().unwrap().parse().unwrap()
}

fn at_port(url: &str, port: u16) -> String {
    url.replace(&format!(":{}", port_of(url)), &format!(":{port}"))
}

macro_rules! outages {
    ($($name:ident: $outage:ident),+ $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn dynamodb() {
                let (site, proxy) = through_proxy("aws.dynamodb_endpoint").await;
                drill("DynamoDB", &site, &proxy, Outage::$outage, Told::Unavailable).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn s3() {
                let (site, proxy) = through_proxy("aws.s3_endpoint").await;
                drill("S3", &site, &proxy, Outage::$outage, Told::Unavailable).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqs() {
                let (site, proxy) = through_proxy("aws.sqs_endpoint").await;
                drill("SQS", &site, &proxy, Outage::$outage, Told::Accepted).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let url = database().await;
                let proxy = FaultProxy::start_stream(port_of(&url)).await.unwrap();
                let url = at_port(&url, proxy.port());
                let ports = ["health_data", "jobs", "events"].map(|port| (
                    match port {
                        "health_data" => "providers.health_data",
                        "jobs" => "providers.jobs",
                        _ => "providers.events",
                    },
                    "postgres".to_owned(),
                ));
                let site = Site::new(ports.into_iter().chain([
                    ("postgres.url", url),
                    ("postgres.statement_timeout_ms", "5000".to_owned()),
                ]));
                drill("PostgreSQL", &site, &proxy, Outage::$outage, Told::Unavailable).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis_server() {
                let redis = redis();
                let proxy = FaultProxy::start_stream(port_of(&redis.url())).await.unwrap();
                let site = Site::new([("redis.url", at_port(&redis.url(), proxy.port()))]);
                drill("Redis", &site, &proxy, Outage::$outage, Told::Accepted).await;
            }
        }
    )+};
}

outages!(cut: Cut, silent: Silent);
