//! Erasing a user: every store is emptied of them, and what is left names nobody.
//!
//! It begins with one commit: it makes a mark, which is the fence (see `fence`) and stays, and an entry in the list of erasures that
//! are under way, which names the user and goes last; and it removes the timeline, so that nothing replaces it any more. Everything between the two can be done any number of times,
//! so whoever finds the entry after a crash, in whichever process, does it all again.
//!
//! Where a file was announced, its presigned URL asks nobody whether the user is still there. So the entry of such a user stays
//! until no put can come any more, and then the objects are looked through once more.

use std::{sync::atomic::Ordering, time::Duration};

use domain::{
    envelope::Envelope,
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortRange},
};
use jiff::{SignedDuration, Timestamp};
use ports::{ErrorKind, Precondition, Query, Record, Version, Write};
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;

use crate::{
    App,
    audit::Caller,
    consents::{Consent, Patient},
    error::Result,
    import::{Import, PUT_WITHIN},
    records::{Intent, decode, encode, get, query_all},
    retina::photograph_prefix,
    segments::segment_prefix,
    upload::{early_raw_prefix, raw_prefix},
};

/// How long a put may take: its URL is looked at when it begins.
const PUT_TAKES: Duration = Duration::from_hours(6);

/// How many objects are listed at once.
const OBJECTS_PAGE: usize = 1000;

/// What a store held of the user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Emptied {
    /// The store, such as `records`.
    pub store: String,
    /// How many things of the user's were removed from it.
    pub count: u64,
}

/// That a user was erased. Kept under a hash of their id, without anything that names them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// When it was done.
    pub erased_at: Timestamp,
    /// What was removed by the run that finished it.
    pub stores: Vec<Emptied>,
}

/// The mark of a user who is erased, or is being erased.
#[derive(Serialize, Deserialize)]
struct Mark {
    begun_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

/// An erasure that is under way.
#[derive(Serialize, Deserialize)]
struct Erasing {
    user_id: UserId,
    begun_at: Timestamp,
    /// Until when files may still be put that were announced before: a presigned URL asks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    puts_until: Option<Timestamp>,
}

/// Whether even a put that began at the last moment has ended.
fn is_over(puts_until: Timestamp, now: Timestamp) -> bool {
    let margin_ms = i64::try_from(PUT_TAKES.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(puts_until.as_millisecond()) >= margin_ms
}

/// What was removed so far.
#[derive(Default)]
pub struct Counts(Vec<Emptied>);

impl Counts {
    fn add(&mut self, store: &str, count: usize) {
        let count = count as u64;
        match self.0.iter_mut().find(|emptied| emptied.store == store) {
            Some(emptied) => emptied.count += count,
            None => self.0.push(Emptied { store: store.to_owned(), count }),
        }
    }
}

impl App {
    /// Makes the erasure certain: when this returns, it will be done, and nothing can be added any more.
    pub async fn begin_erasure(&self, caller: &Caller) -> Result<Counts> {
        let (user_id, begun_at) = (caller.user_id, self.platform.clock.now());
        let erasing = Erasing { user_id, begun_at, puts_until: None };
        let writes = vec![
            Write::insert(RecordKey::erasure(user_id), encode(&Mark { begun_at, receipt: None })?),
            Write::insert(RecordKey::erasing(user_id), encode(&erasing)?),
            // Who replaces it has no other fence.
            Write::delete(RecordKey::timeline(user_id), Precondition::None),
        ];
        match self.platform.health_data.commit(writes).await {
            // Another request of the user's was first.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            outcome => outcome?,
        }
        // From here on no token is good.
        let mut counts = Counts::default();
        self.erase_account(user_id, &mut counts).await?;
        Ok(counts)
    }

    /// Whether the erasure of a user has begun.
    pub(crate) async fn is_erased(&self, user: UserId) -> ports::Result<bool> {
        Ok(self.platform.health_data.get(&RecordKey::erasure(user)).await?.is_some())
    }

    /// Empties every store of a user whose erasure has begun; `counts` is what beginning it removed.
    pub async fn finish_erasure(&self, user: UserId, mut counts: Counts) -> Result<Receipt> {
        // Uploads of this process that are half done are let finish: the fence refuses them.
        let turn = self.turns.take(user).await;
        // A build of before began erasures without this.
        self.delete_all(vec![RecordKey::timeline(user)]).await?;
        let puts_until = self.note_puts(user).await?;
        self.erase_account(user, &mut counts).await?;
        self.erase_consents(user, &mut counts).await?;
        counts.add("objects", self.erase_objects(user).await?);
        self.erase_traffic(user, &mut counts).await?;
        for kind in Kind::iter() {
            counts.add("records", self.erase_records(user, kind).await?);
        }
        // What was on its way when it was looked for before.
        self.erase_traffic(user, &mut counts).await?;
        counts.add("caches", usize::from(self.timelines.remove(&user).is_some()));
        drop(turn);
        let receipt = Receipt { erased_at: self.platform.clock.now(), stores: counts.0 };
        let mark = Mark { begun_at: receipt.erased_at, receipt: Some(receipt.clone()) };
        self.scrub_due.store(true, Ordering::SeqCst);
        let mut writes =
            vec![Write::put(RecordKey::erasure(user), Version(2), encode(&mark)?, Precondition::None)];
        if puts_until.is_none() {
            writes.push(Write::delete(RecordKey::erasing(user), Precondition::None));
        }
        self.platform.health_data.commit(writes).await?;
        self.scrub_if_due().await?;
        Ok(receipt)
    }

    /// Notes until when files of the user may still be put, before the records go that tell it.
    async fn note_puts(&self, user: UserId) -> Result<Option<Timestamp>> {
        let (store, key) = (&*self.platform.health_data, RecordKey::erasing(user));
        let stored = get::<Erasing>(store, &key).await?;
        let noted = stored.as_ref().and_then(|stored| stored.body.puts_until);
        let imports = query_all(store, Partition::User(user), Kind::Import, SortRange::all()).await?;
        let now = self.platform.clock.now();
        // What does not decode may have been announced by a newer build.
        let until = |record: &Record| match decode::<Import>(record) {
            Ok(import) => import.may_be_put_until(),
            Err(_corrupt) => now.checked_add(SignedDuration::try_from(PUT_WITHIN).ok()?).ok(),
        };
        let latest =
            imports.iter().filter_map(until).chain(noted).max().filter(|until| !is_over(*until, now));
        if latest > noted {
            let begun_at = stored.as_ref().map_or(now, |stored| stored.body.begun_at);
            let erasing = Erasing { user_id: user, begun_at, puts_until: latest };
            let version = stored.map_or(Version(1), |stored| stored.version.next());
            store.commit(vec![Write::put(key, version, encode(&erasing)?, Precondition::None)]).await?;
        }
        Ok(latest)
    }

    /// Removes what was put after everything else was gone. Nothing can be put any more.
    async fn finish_late(&self, user: UserId) -> Result<()> {
        let late = self.erase_objects(user).await?;
        if late > 0 {
            tracing::info!(late, "files that were put after an erasure are removed");
            self.scrub_due.store(true, Ordering::SeqCst);
        }
        self.delete_all(vec![RecordKey::erasing(user)]).await
    }

    /// Deleting leaves bytes in files; only when they are gone as well is somebody erased.
    async fn scrub_if_due(&self) -> Result<()> {
        if self.scrub_due.swap(false, Ordering::SeqCst) {
            let scrubbed = self.platform.scrubber.scrub().await;
            if scrubbed.is_err() {
                self.scrub_due.store(true, Ordering::SeqCst);
            }
            scrubbed?;
        }
        Ok(())
    }

    /// Finishes the erasures that were begun so long ago that whoever began them has stopped.
    pub async fn resume_erasures(&self, begun_before: Duration) -> Result<()> {
        let records =
            query_all(&*self.platform.health_data, Partition::Erasures, Kind::Erasing, SortRange::all())
                .await?;
        let age_ms = i64::try_from(begun_before.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.platform.clock.now().as_millisecond();
        for record in &records {
            let Erasing { user_id, begun_at, puts_until } = decode(record)?;
            let mark = get::<Mark>(&*self.platform.health_data, &RecordKey::erasure(user_id)).await?;
            let is_done = mark.is_some_and(|mark| mark.body.receipt.is_some());
            if let Some(until) = puts_until.filter(|_| is_done) {
                if is_over(until, self.platform.clock.now()) {
                    self.finish_late(user_id).await?;
                }
            } else if now_ms - begun_at.as_millisecond() >= age_ms {
                self.finish_erasure(user_id, Counts::default()).await?;
                tracing::info!("an erasure that was interrupted is done");
            }
        }
        self.scrub_if_due().await
    }

    /// The account with its sessions, tokens and codes, and links from other issuers.
    async fn erase_account(&self, user: UserId, counts: &mut Counts) -> Result<()> {
        counts.add("sessions", self.platform.sessions.sessions(user).await?.len());
        let has_account = self.platform.identity.profile(user).await?.is_some();
        self.platform.identity.delete(user).await?;
        counts.add("accounts", usize::from(has_account));
        counts.add("identity_links", self.forget_external_identities(user).await?);
        Ok(())
    }

    /// The halves of consents that are in other people's partitions: of those the user gave, and of those they got.
    async fn erase_consents(&self, user: UserId, counts: &mut Counts) -> Result<()> {
        let (store, partition) = (&*self.platform.health_data, Partition::User(user));
        let mut halves = Vec::new();
        for record in query_all(store, partition, Kind::Consent, SortRange::all()).await? {
            let consent: Consent = decode(&record)?;
            halves.push(RecordKey::patient(consent.clinician_id, user, consent.id));
        }
        for record in query_all(store, partition, Kind::Patient, SortRange::all()).await? {
            let patient: Patient = decode(&record)?;
            halves.push(RecordKey::consent(patient.user_id, user, patient.consent_id));
        }
        counts.add("consents", halves.len());
        self.delete_all(halves).await
    }

    async fn erase_objects(&self, user: UserId) -> Result<usize> {
        let mut count = 0;
        let prefixes =
            [raw_prefix(user), early_raw_prefix(user), segment_prefix(user), photograph_prefix(user)];
        for prefix in prefixes {
            loop {
                // From the start each time: what was listed is gone.
                let page = self.platform.objects.list(&prefix, None, OBJECTS_PAGE).await?;
                for object in &page.items {
                    self.platform.objects.delete(&object.key).await?;
                }
                count += page.items.len();
                if page.next.is_none() {
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Intents, messages and events.
    async fn erase_traffic(&self, user: UserId, counts: &mut Counts) -> Result<()> {
        let shard = RecordKey::outbox(user, uuid::Uuid::nil()).partition;
        let records = query_all(&*self.platform.health_data, shard, Kind::Outbox, SortRange::all()).await?;
        let is_users =
            |record: &Record| decode::<Intent>(record).is_ok_and(|intent| intent.envelope.user_id == user);
        let intents: Vec<_> = records.into_iter().filter(is_users).map(|record| record.key).collect();
        counts.add("outbox", intents.len());
        self.delete_all(intents).await?;
        let range = RecordKey::importing_of(user);
        let entries = query_all(&*self.platform.health_data, shard, Kind::Importing, range).await?;
        counts.add("outbox", entries.len());
        self.delete_all(entries.into_iter().map(|record| record.key).collect()).await?;
        for ordering_key in Envelope::ordering_keys(user) {
            let messages = self.platform.jobs.purge(&ordering_key).await?;
            counts.add("jobs", usize::try_from(messages).unwrap_or(usize::MAX));
        }
        let events = self.platform.events.forget(user).await?;
        counts.add("events", usize::try_from(events).unwrap_or(usize::MAX));
        Ok(())
    }

    async fn erase_records(&self, user: UserId, kind: Kind) -> Result<usize> {
        let query = Query::new(Partition::User(user), kind, SortRange::all());
        let mut count = 0;
        loop {
            let page = self.platform.health_data.query(&query).await?;
            count += page.items.len();
            self.delete_all(page.items.into_iter().map(|record| record.key).collect()).await?;
            if page.next.is_none() {
                return Ok(count);
            }
        }
    }

    /// Removes records, in as many commits as that needs.
    async fn delete_all(&self, keys: Vec<RecordKey>) -> Result<()> {
        for batch in keys.chunks(self.platform.health_data.limits().writes_max) {
            let writes = batch.iter().map(|key| Write::delete(key.clone(), Precondition::None));
            self.platform.health_data.commit(writes.collect()).await?;
        }
        Ok(())
    }

    /// Acknowledged instead of retried or buried: a dead letter would name somebody who was erased.
    pub(crate) async fn is_of_erased(&self, message: &[u8]) -> bool {
        match Envelope::decode(message) {
            Ok(envelope) => self.is_erased(envelope.user_id).await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Notes that something of somebody who was erased was written and deleted again.
    pub(crate) fn scrub_later(&self) {
        self.scrub_due.store(true, Ordering::SeqCst);
    }
}
