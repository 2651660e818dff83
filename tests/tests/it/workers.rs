//! Several workers on one data folder: each job once in effect, whatever happens to whom.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use domain::ids::{UploadId, UserId};
use e2e::{Clarity, Phone, Reading, Started, healthkit};
use ports::JobQueue;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    task::{JoinSet, block_in_place},
    time::{sleep, timeout},
};

use crate::folder::Folder;

const DAY_MS: i64 = 86_400_000;
/// 6 January 2025, midnight in Berlin.
const BEGIN_MS: i64 = 1_736_118_000_000;

/// How long anything here may take at most.
const PATIENCE: Duration = Duration::from_secs(40);

/// A server that leaves the work to others, and a look into its folder.
struct House {
    server: Started,
    folder: Folder,
    data: TempDir,
}

impl House {
    async fn open() -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let server = Clarity::serve(data.path())?.args(&["--no-worker"]);
        let server = block_in_place(|| server.start())?;
        Ok(Self { server, folder: Folder::open(data.path()).await?, data })
    }

    fn address(&self) -> anyhow::Result<SocketAddr> {
        self.server.address()
    }

    fn worker(&self) -> anyhow::Result<Started> {
        block_in_place(|| worker(self.data.path())?.start())
    }

    /// Waits until nothing waits in the outbox or the queue.
    async fn settle(&self) -> anyhow::Result<()> {
        let settled = async {
            while self.folder.waiting().await? > 0 {
                sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, settled).await.context("jobs still wait")?
    }
}

/// A worker whose silence is noticed soon.
fn worker(data: &Path) -> anyhow::Result<Clarity> {
    Ok(Clarity::worker(data)?.set("worker.lease_ms", "1000").set("worker.heartbeat_ms", "300"))
}

/// So many heart rates, spread over days.
fn heart_rates(begin_ms: i64, count: u32, days: i64) -> Vec<Reading> {
    e2e::heart_rates(begin_ms, days * DAY_MS / i64::from(count), count)
}

async fn upload(phone: &Phone, readings: &[Reading]) -> anyhow::Result<UploadId> {
    let answer = phone.post("healthkit", &healthkit(readings)).await?.expect(202)?;
    ensure!(answer["receipts"]["accepted"] == readings.len(), "{}", answer["receipts"]);
    Ok(serde_json::from_value(answer["upload_id"].clone())?)
}

async fn processed(phone: &Phone, upload: UploadId) -> anyhow::Result<Value> {
    timeout(PATIENCE, phone.processed(&upload.to_string())).await.context("the upload is not processed")?
}

async fn completed(phone: &Phone, upload: UploadId) -> anyhow::Result<()> {
    let status = processed(phone, upload).await?;
    ensure!(status["status"] == "completed", "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_do_each_job_once_and_each_users_in_order() -> anyhow::Result<()> {
    let house = House::open().await?;
    let start = |_| block_in_place(|| Clarity::worker(house.data.path())?.start());
    let workers = (0..3).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let address = house.address()?;
    let mut people = JoinSet::new();
    for _ in 0..10 {
        people.spawn(async move {
            let phone = Phone::sign_up(address).await?;
            let mut uploads = Vec::new();
            for n in 0..6 {
                uploads.push(upload(&phone, &heart_rates(BEGIN_MS + n * DAY_MS / 2, 10, 1)).await?);
            }
            for upload in &uploads {
                completed(&phone, *upload).await?;
            }
            anyhow::Ok((phone, uploads))
        });
    }
    let people = people.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    house.settle().await?;
    for (phone, uploads) in &people {
        let user: UserId = phone.user_id.parse()?;
        assert_eq!(&house.folder.completed(user).await?, uploads);
        assert_eq!(phone.all_readings().await?.len(), 60);
    }
    assert!(house.folder.dead_letters().await?.is_empty());
    // Whoever conflicts with another has done another's work.
    for worker in &workers {
        assert!(!worker.log().contains("WARN"), "{}", worker.log());
    }
    Ok(())
}

/// Uploads until the worker is in the middle of a job, and stops it there with SIGSTOP.
async fn freeze_at_work(house: &House, phone: &Phone, worker: &Started) -> anyhow::Result<UploadId> {
    let user: UserId = phone.user_id.parse()?;
    for n in 0..50 {
        let id = upload(phone, &heart_rates(BEGIN_MS - n * 40 * DAY_MS, 2_000, 40)).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = phone.get(&format!("healthkit/status/{id}")).await?.expect(200)?;
            if status["status"] != "received" {
                break;
            }
            ensure!(Instant::now() < deadline, "nobody begins: {status}");
        }
        worker.signal("STOP")?;
        // It may have completed the job meanwhile, or hold the lock of the database, which would hold everybody up.
        let is_free = house.folder.integrity().await.is_ok();
        if is_free && !house.folder.completed(user).await?.contains(&id) {
            return Ok(id);
        }
        worker.signal("CONT")?;
        completed(phone, id).await?;
    }
    bail!("the worker was never seen at work")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_job_is_taken_over() -> anyhow::Result<()> {
    let house = House::open().await?;
    let phone = Phone::sign_up(house.address()?).await?;
    let mut first = house.worker()?;
    let id = freeze_at_work(&house, &phone, &first).await?;
    first.kill()?;
    let status = phone.get(&format!("healthkit/status/{id}")).await?.expect(200)?;
    assert_eq!(status["status"], "processing", "{status}");

    let _second = house.worker()?;
    completed(&phone, id).await?;
    house.settle().await?;
    let completed = house.folder.completed(phone.user_id.parse()?).await?;
    assert_eq!(completed.iter().filter(|upload| **upload == id).count(), 1);
    assert!(house.folder.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_comes_back_too_late_changes_nothing() -> anyhow::Result<()> {
    let house = House::open().await?;
    let phone = Phone::sign_up(house.address()?).await?;
    let user: UserId = phone.user_id.parse()?;
    let late = house.worker()?;
    let id = freeze_at_work(&house, &phone, &late).await?;
    let mut second = house.worker()?;
    completed(&phone, id).await?;
    second.kill()?;
    let (days, events) =
        (phone.get("metrics/daily").await?.expect(200)?, house.folder.completed(user).await?);

    late.signal("CONT")?;
    let noticed = async {
        while !late.log().contains("the queue did not take a job's outcome") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, noticed)
        .await
        .with_context(|| format!("the late worker noticed nothing: {}", late.log()))?;
    assert_eq!(phone.get("metrics/daily").await?.expect(200)?, days);
    assert_eq!(house.folder.completed(user).await?, events);
    // And it goes on with what comes next.
    let next = upload(&phone, &heart_rates(BEGIN_MS - 10 * DAY_MS, 10, 1)).await?;
    completed(&phone, next).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_longer_than_its_lease_keeps_it() -> anyhow::Result<()> {
    let house = House::open().await?;
    let start = || {
        let worker = Clarity::worker(house.data.path())?;
        let worker = worker.set("worker.lease_ms", "1000").set("worker.heartbeat_ms", "50");
        block_in_place(|| worker.start())
    };
    let workers = [start()?, start()?];
    let phone = Phone::sign_up(house.address()?).await?;
    let id = upload(&phone, &heart_rates(BEGIN_MS - 900 * DAY_MS, 36_000, 900)).await?;
    let began = Instant::now();
    completed(&phone, id).await?;
    println!("workers: a job of {:?} under a lease of a second", began.elapsed());
    house.settle().await?;
    for worker in &workers {
        assert!(!worker.log().contains("WARN"), "{}", worker.log());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_job_is_a_dead_letter_and_the_others_go_on() -> anyhow::Result<()> {
    let house = House::open().await?;
    let poisoned = Phone::sign_up(house.address()?).await?;
    let healthy = Phone::sign_up(house.address()?).await?;
    let bad = upload(&poisoned, &heart_rates(BEGIN_MS, 10, 1)).await?;
    let mut writing = house.folder.database.begin("test.poison").await?;
    let done = sqlx::query("UPDATE records SET body = x'0badc0de' WHERE partition = ? AND kind = 'segment'")
        .bind(format!("user/{}", poisoned.user_id))
        .execute(&mut *writing)
        .await?;
    assert!(done.rows_affected() > 0);
    writing.commit("test.poison").await?;
    let good = upload(&healthy, &heart_rates(BEGIN_MS, 10, 1)).await?;
    // Behind the poisoned job in its user's order, and far from its days.
    let later = upload(&poisoned, &heart_rates(BEGIN_MS + 60 * DAY_MS, 10, 1)).await?;

    let worker = house.worker()?;
    completed(&healthy, good).await?;
    let status = processed(&poisoned, bad).await?;
    assert_eq!(status["status"], "failed", "{status}");
    let reason = status["error"].as_str().context("a failed upload says why")?.to_owned();
    assert!(reason.contains("Corrupt"), "{reason}");
    completed(&poisoned, later).await?;
    house.settle().await?;
    let dead = house.folder.dead_letters().await?;
    assert_eq!(dead.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), [reason.as_str()]);
    assert_eq!(house.folder.completed(poisoned.user_id.parse()?).await?, [later]);
    assert!(worker.log().contains("a job was given up"));
    Ok(())
}

/// A worker that dies says nothing, so the queue gives the job up by itself, and somebody must tell the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_workers_all_die_is_a_dead_letter_and_its_upload_failed() -> anyhow::Result<()> {
    let house = House::open().await?;
    let phone = Phone::sign_up(house.address()?).await?;
    let unlucky = upload(&phone, &heart_rates(BEGIN_MS, 10, 1)).await?;
    house.folder.relay().await?;
    // This test dies in place of three workers: it takes the lease and is not heard of again.
    for delivery in 1..=3 {
        let leases = house.folder.jobs.receive(1, PATIENCE, Duration::from_millis(50)).await?;
        assert_eq!(leases.first().map(|lease| lease.delivery_count), Some(delivery));
    }
    let next = upload(&phone, &heart_rates(BEGIN_MS + DAY_MS, 10, 1)).await?;
    let worker =
        worker(house.data.path())?.set("worker.deliveries_max", "3").set("worker.sweep_interval_ms", "100");
    let _worker = block_in_place(|| worker.start())?;
    let status = processed(&phone, unlucky).await?;
    assert_eq!(status["status"], "failed", "{status}");
    let dead = house.folder.dead_letters().await?;
    assert_eq!(
        dead.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(),
        [status["error"].as_str().unwrap()]
    );
    completed(&phone, next).await?;
    assert_eq!(phone.all_readings().await?.len(), 20);
    Ok(())
}
