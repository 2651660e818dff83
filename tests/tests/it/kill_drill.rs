//! The kill drill: server and workers are killed at random moments while phones upload, and at the end everything that was
//! acknowledged must be there, once, and computed as if nothing had happened.

mod load;
mod verify;

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use domain::{ids::UserId, job::JobState};
use e2e::{Clarity, Phone, Reading, Started, healthkit};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
    time::sleep,
};

use self::{
    load::{Dice, Person},
    verify::{Listed, verify},
};
use crate::folder::Folder;

const PEOPLE: u64 = 6;
const WORKERS: usize = 2;
const KILLS: u32 = 20;
const SEED: u64 = 20_260_105;

/// A number from the environment: how hard and with which seed this drill is done is asked on the command line.
#[expect(
    clippy::disallowed_methods,
    reason = "the drill has no configuration file; `make drill` sets the variable"
)]
fn asked<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The processes that share one data folder.
struct House {
    data: PathBuf,
    server: Started,
    workers: Vec<Started>,
    address: watch::Sender<SocketAddr>,
    kills: BTreeMap<&'static str, u32>,
}

fn server(data: &Path) -> anyhow::Result<Clarity> {
    Ok(Clarity::serve(data)?.args(&["--no-worker"]))
}

fn worker(data: &Path) -> anyhow::Result<Clarity> {
    // A killed worker's jobs come back soon. A kill costs a job a delivery although nothing is wrong with the job, so the
    // limit lies above what bad luck can do here.
    let worker = Clarity::worker(data)?.set("worker.lease_ms", "1000").set("worker.heartbeat_ms", "300");
    Ok(worker.set("worker.deliveries_max", "1000"))
}

impl House {
    fn open(data: &Path) -> anyhow::Result<Self> {
        let server = server(data)?.start()?;
        let workers = (0..WORKERS).map(|_| worker(data)?.start()).collect::<anyhow::Result<_>>()?;
        let (address, _) = watch::channel(server.address()?);
        Ok(Self { data: data.to_owned(), server, workers, address, kills: BTreeMap::new() })
    }

    /// Kills somebody, sometimes two at once, sometimes once more while they start again.
    fn kill_one(&mut self, dice: &mut Dice) -> anyhow::Result<()> {
        let (of_server, of_worker) = match dice.below(10) {
            0..=4 => (true, false),
            5..=8 => (false, true),
            _ => (true, true),
        };
        let at = dice.below(2) as usize;
        if of_server {
            self.server.kill()?;
            *self.kills.entry("server").or_default() += 1;
        }
        if of_worker {
            self.workers[at].kill()?;
            *self.kills.entry("worker").or_default() += 1;
        }
        if dice.percent(15) {
            let starting = if of_server { server(&self.data)? } else { worker(&self.data)? };
            starting.start_and_kill(dice.millis(0, 150))?;
            *self.kills.entry("starting").or_default() += 1;
        }
        if of_worker {
            self.workers[at] = worker(&self.data)?.start()?;
        }
        if of_server {
            self.server = server(&self.data)?.start()?;
            self.address.send_replace(self.server.address()?);
        }
        Ok(())
    }

    fn killed(&self) -> u32 {
        self.kills.values().sum()
    }

    fn summary(&self) -> String {
        let kinds: Vec<String> = self.kills.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{} kills ({})", self.killed(), kinds.join(", "))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_kill_9_and_is_processed_once() -> anyhow::Result<()> {
    let (kills, seed) = (asked("CLARITY_DRILL_KILLS", KILLS), asked("CLARITY_DRILL_SEED", SEED));
    println!("kill drill: {kills} kills, seed {seed} (CLARITY_DRILL_SEED)");
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut dice = Dice::new(seed);
    // The very first start, which makes the folder, its database and its keys, is not safe from kills either.
    for _ in 0..3 {
        block_in_place(|| server(&data)?.start_and_kill(dice.millis(0, 150)))?;
    }
    let mut house = block_in_place(|| House::open(&data))?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut lives = JoinSet::new();
    for n in 0..PEOPLE {
        let phone = Phone::sign_up(*house.address.borrow()).await?;
        let person = Person::new(phone, seed.wrapping_add(1 + n));
        lives.spawn(person.live(house.address.subscribe(), Arc::clone(&stop)));
    }
    while house.killed() < kills {
        sleep(dice.millis(10, 200)).await;
        block_in_place(|| house.kill_one(&mut dice))?;
    }
    stop.store(true, Ordering::Relaxed);
    let people = lives.join_all().await;
    let loaded = Instant::now();
    let house_after = Folder::open(&data).await?;
    settle(&house_after, kills).await?;
    let settled = Instant::now();

    let pristine_folder = tempfile::tempdir()?;
    let pristine = block_in_place(|| Clarity::serve(&pristine_folder.path().join("data"))?.start())?;
    let mut sum = Sum::default();
    for person in &people {
        check(person, &house_after, (*house.address.borrow(), pristine.address()?), &mut sum).await?;
    }
    let dead = house_after.dead_letters().await?;
    for letter in &dead {
        sum.faults.push(format!("a dead letter: {}", letter.reason));
    }
    let integrity = house_after.integrity().await?;
    sum.demand(integrity == "ok", || format!("SQLite's file: {integrity}"));
    println!("kill drill: {}; {}", house.summary(), sum.summary());
    println!(
        "kill drill: {:.1?} of load, {:.1?} to settle, {:.1?} to check",
        loaded - began,
        settled - loaded,
        settled.elapsed()
    );
    ensure!(sum.faults.is_empty(), "{} faults:\n{}", sum.faults.len(), sum.faults.join("\n"));
    let was_tried = sum.broken > 0 && sum.in_objects > 0 && sum.acknowledged > kills as usize;
    ensure!(was_tried, "the drill did not try what it is for");
    Ok(())
}

/// Waits until no job waits any more.
async fn settle(folder: &Folder, kills: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1) + Duration::from_millis(500) * kills;
    loop {
        let waiting = folder.waiting().await?;
        if waiting == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{waiting} jobs still wait");
        sleep(Duration::from_millis(50)).await;
    }
}

#[derive(Default)]
struct Sum {
    broken: usize,
    acknowledged: usize,
    unacknowledged: usize,
    samples: usize,
    in_objects: usize,
    lost: usize,
    duplicated: usize,
    faults: Vec<String>,
}

impl Sum {
    fn summary(&self) -> String {
        format!(
            "{} requests broken, {} uploads acknowledged and {} stored without, {} samples ({} with a body in an object), \
             {} lost, {} duplicated",
            self.broken,
            self.acknowledged,
            self.unacknowledged,
            self.samples,
            self.in_objects,
            self.lost,
            self.duplicated,
        )
    }

    fn demand(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }
}

/// Everything that is promised to one person.
async fn check(
    person: &Person,
    folder: &Folder,
    (address, pristine): (SocketAddr, SocketAddr),
    sum: &mut Sum,
) -> anyhow::Result<()> {
    let phone = person.phone.at(address);
    let user: UserId = phone.user_id.parse()?;
    sum.broken += person.broken;
    sum.acknowledged += person.ledger.acknowledged.len();
    sum.demand(person.unexpected.is_empty(), || format!("{user}: answers {:?}", person.unexpected));

    let listing = phone.all_readings().await?;
    let listing: Vec<Listed> =
        listing.iter().map(Listed::new).collect::<Option<_>>().context("a reading lacks a field")?;
    let found = verify(&person.ledger, &listing);
    sum.samples += listing.len();
    sum.lost += found.lost.len();
    sum.duplicated += found.duplicated.len();
    sum.demand(found == verify::Faults::default(), || format!("{user}: {found:?}"));

    check_uploads(person, folder, (&phone, user, listing.len()), sum).await?;

    let kept: Vec<&Reading> =
        listing.iter().filter_map(|listed| person.ledger.sent.get(&listed.key)).collect();
    let fresh = replay(pristine, &kept).await?;
    for path in ["metrics/daily", "metrics/sleep", "metrics/circadian"] {
        let (drilled, undisturbed) =
            (phone.get(path).await?.expect(200)?, fresh.get(path).await?.expect(200)?);
        sum.demand(drilled == undisturbed, || format!("{user}: {path} differs:\n{drilled}\n{undisturbed}"));
    }
    Ok(())
}

/// Uploads are completed, with the receipt that was answered, with their bodies, and with one event each.
async fn check_uploads(
    person: &Person,
    folder: &Folder,
    (phone, user, listed): (&Phone, UserId, usize),
    sum: &mut Sum,
) -> anyhow::Result<()> {
    let uploads = folder.uploads(user).await?;
    let stored: BTreeMap<String, _> = uploads.iter().map(|upload| (upload.id.to_string(), upload)).collect();
    sum.unacknowledged += uploads.len().saturating_sub(person.ledger.acknowledged.len());
    for acknowledged in &person.ledger.acknowledged {
        let id = &acknowledged.upload_id;
        let status = phone.get(&format!("healthkit/status/{id}")).await?.expect(200)?;
        let is_right = status["status"] == "completed" && status["receipts"] == acknowledged.receipts;
        sum.demand(is_right, || {
            format!("{user}: upload {id}: {status}, acknowledged with {}", acknowledged.receipts)
        });
        let count = |name: &str| acknowledged.receipts[name].as_u64().unwrap_or(0);
        let accounted = count("accepted") + count("duplicate");
        sum.demand(accounted == acknowledged.keys.len() as u64 && count("rejected_total") == 0, || {
            format!("{user}: upload {id} of {} readings: {}", acknowledged.keys.len(), acknowledged.receipts)
        });
        let is_kept = stored.get(id).is_some_and(|upload| upload.raw.sha256 == acknowledged.sha256);
        sum.demand(is_kept, || format!("{user}: upload {id} is not stored with the body that was sent"));
    }
    for upload in &uploads {
        let id = upload.id;
        sum.demand(upload.state == JobState::Completed, || {
            format!("{user}: upload {id} is {}", upload.state)
        });
        let raw = folder.raw_body(user, upload).await?.map(|body| hex::encode(Sha256::digest(body)));
        sum.demand(raw.as_ref() == Some(&upload.raw.sha256), || {
            format!("{user}: the raw body of upload {id} is not there")
        });
        sum.in_objects += if upload.raw.object.is_some() { upload.receipts.accepted } else { 0 };
    }
    // Every reading was accepted once: neither a retry nor a redelivery took one in again.
    let accepted: usize = uploads.iter().map(|upload| upload.receipts.accepted).sum();
    sum.demand(accepted == listed, || {
        format!("{user}: {accepted} readings were accepted, {listed} are listed")
    });
    let sequences: Vec<u64> = uploads.iter().map(|upload| upload.sequence).collect();
    sum.demand(sequences.iter().copied().eq(1..=sequences.len() as u64), || {
        format!("{user}: sequences {sequences:?}")
    });

    let completed = folder.completed(user).await?;
    let once: HashSet<_> = completed.iter().collect();
    sum.demand(once.len() == completed.len(), || {
        format!("{user}: {} events of {} uploads", completed.len(), once.len())
    });
    let missing = uploads.iter().filter(|upload| !once.contains(&upload.id)).count();
    sum.demand(missing == 0, || format!("{user}: {missing} uploads have no event"));
    Ok(())
}

/// Gives the same readings to a server that nobody kills.
async fn replay(address: SocketAddr, readings: &[&Reading]) -> anyhow::Result<Phone> {
    let phone = Phone::sign_up(address).await?;
    let mut uploads = Vec::new();
    for part in readings.chunks(5_000) {
        let part: Vec<Reading> = part.iter().map(|reading| (*reading).clone()).collect();
        let answer = phone.post("healthkit", &healthkit(&part)).await?.expect(202)?;
        ensure!(
            answer["receipts"]["accepted"] == part.len(),
            "the pristine server took {}",
            answer["receipts"]
        );
        uploads.push(answer["upload_id"].as_str().map(str::to_owned).context("an upload has an id")?);
    }
    for upload in uploads {
        let status: Value = phone.processed(&upload).await?;
        ensure!(status["status"] == "completed", "the pristine server: {status}");
    }
    Ok(phone)
}
