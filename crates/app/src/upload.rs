//! The way of one upload up to its 2xx: a receipt for each sample, the raw body kept, and one commit.

mod blocks;
mod judge;

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use bytes::Bytes;
use domain::{
    envelope::{Envelope, Work},
    ids::{SampleId, UploadId, UserId},
    job::JobState,
    metric::Metric,
    record::{RecordKey, hash_of},
    sample::Sample,
};
use jiff::civil::Date;
use ports::{Change, Error, ErrorKind, ObjectKey, PutOptions, Record, Sha256Digest, Write, objects};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    ingest::{BodyError, Limits, Parsed, parse_health_data, parse_healthkit, parse_record},
    records::{
        Deleted, Intent, RawBody, TOMBSTONE_BYTES, TOMBSTONES_MAX, Timeline, Tombstones, Upload, UploadKind,
        encode,
    },
    segments,
};

pub(crate) use self::blocks::block_of;
use self::{
    blocks::{Blocks, Groups},
    judge::{Known, Verdicts},
};

/// Bodies above this size are parsed and compressed on a thread of their own, so that they do not hold up an event loop.
const INLINE_WORK_BYTES_MAX: usize = 16 * 1024;

/// How many more writes the deletion of an upload takes than the upload: what was accepted can be deleted.
const DELETION_WRITES: usize = 4;

/// A body after everything about it that needs no store.
pub(crate) struct Prepared {
    pub parsed: Parsed,
    /// The id that each sample's content key makes: its own, where it came without one.
    pub derived: Vec<SampleId>,
    pub sha256: [u8; 32],
    pub size_bytes: usize,
    pub compressed: Bytes,
}

/// An upload as it will be, and what is to be committed for it.
pub(crate) struct Plan {
    pub upload: Upload,
    timeline: Arc<Timeline>,
    pub intent: Option<RecordKey>,
    pub writes: Vec<Write>,
    /// What became of each sample, by its index.
    pub fates: Vec<Fate>,
    /// Of the segments those that are not the first of their metric and day.
    pub beside: Vec<(Metric, Date)>,
}

/// What became of one sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is kept.
    Accepted,
    /// It was held already.
    Duplicate,
    /// It was deleted before, and does not come back.
    Deleted,
}

impl App {
    /// Keeps an upload. When this returns, its samples survive a crash and its job will be processed.
    pub async fn receive(&self, caller: &Caller, kind: UploadKind, body: Bytes) -> Result<Upload> {
        match self.receive_once(caller, kind, body, None).await? {
            Outcome::Done(upload) => Ok(upload),
            Outcome::Replayed(_) => Err(Error::new(ErrorKind::Unexpected, "upload.receive").into()),
        }
    }

    /// The same, for a request that may be sent again.
    pub async fn receive_once(
        &self,
        caller: &Caller,
        kind: UploadKind,
        body: Bytes,
        once: Option<&Once<'_, Upload>>,
    ) -> Result<Outcome<Upload>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let prepared = self.prepare(kind, body).await?;
        if let Some(named) = &prepared.parsed.user_id {
            // The identity is the token's; a body may repeat it, not change it.
            if named.parse::<UserId>().ok() != Some(caller.user_id) {
                return Err(AppError::ForeignUser);
            }
        }
        let id = UploadId(self.platform.ids.next());
        let raw = self.keep_raw(caller.user_id, id, &prepared).await?;
        let outcome = self.commit_upload(caller, (id, kind), (&prepared, &raw), once).await;
        let names_raw = match &outcome {
            Ok(Outcome::Done(_)) => true,
            Ok(Outcome::Replayed(_)) => false,
            // Its user was erased meanwhile, and so their prefix may have been looked through already.
            Err(AppError::Port(error)) => {
                error.outcome() != ports::Outcome::NotApplied && ports::denial(error).is_none()
            }
            Err(_refused) => false,
        };
        if !names_raw && let Err(error) = self.forget_raw(&raw).await {
            // The sweep finds it.
            tracing::warn!(%error, "the raw body of an upload that was not kept is left over");
        }
        outcome
    }

    async fn commit_upload(
        &self,
        caller: &Caller,
        (id, kind): (UploadId, UploadKind),
        (prepared, raw): (&Prepared, &RawBody),
        once: Option<&Once<'_, Upload>>,
    ) -> Result<Outcome<Upload>> {
        // Uploads of one user change one timeline. Taking turns here saves the losers of that race their work; the
        // precondition on the timeline keeps other processes out.
        let _turn = self.turns.take(caller.user_id).await;
        let mut attempt = 1;
        loop {
            let Plan { upload, timeline, intent, mut writes, .. } =
                self.plan(caller, (id, kind), prepared, raw.clone()).await?;
            writes.extend(self.keep_reply(once, &upload)?);
            let made = self.offload(caller.user_id, &mut writes).await?;
            if let Err(error) = self.fits_with_deletion(&writes, &upload) {
                self.forget_objects(&made).await?;
                return Err(error);
            }
            let committed = self.platform.health_data.commit(writes).await;
            match &committed {
                Ok(()) => self.timelines.insert(caller.user_id, timeline),
                Err(error) => {
                    drop(self.timelines.remove(&caller.user_id));
                    self.take_back(&made, error).await;
                }
            }
            match committed {
                Ok(()) => {
                    if let Some(intent) = intent {
                        self.relay.nudge(intent);
                    }
                    metrics::counter!("samples_accepted_total").increment(upload.receipts.accepted as u64);
                    return Ok(Outcome::Done(upload));
                }
                Err(error)
                    if error.kind() == ErrorKind::Conflict && attempt < self.settings.commit_attempts_max =>
                {
                    // Perhaps it was the same request that was first.
                    if let Some(reply) = self.replay(once).await? {
                        return Ok(Outcome::Replayed(reply));
                    }
                    attempt += 1;
                }
                // Another process kept changing the timeline: nothing is wrong with the request.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    return Err(Error::new(ErrorKind::Unavailable, "upload.commit").with_cause(error).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn prepare(&self, kind: UploadKind, body: Bytes) -> Result<Prepared> {
        let now = self.platform.clock.now();
        let settings = Arc::clone(&self.settings);
        let is_small = body.len() <= INLINE_WORK_BYTES_MAX;
        let work = move || -> Result<Prepared, BodyError> {
            let limits = Limits {
                metrics_max: settings.metrics_per_upload_max,
                samples_max: settings.samples_per_upload_max,
            };
            let parsed = match kind {
                UploadKind::HealthData => parse_health_data(&body, limits, now),
                UploadKind::BatchRecord => parse_record(&body, limits, now),
                UploadKind::HealthKit => parse_healthkit(&body, settings.samples_per_upload_max, now),
                UploadKind::Import => Err(BodyError::new("", "a file is imported and not uploaded")),
            }?;
            let derived = parsed.samples.iter().map(|sample| sample.content_key().sample_id()).collect();
            let compressed = compress(&body)
                .map_err(|_hidden| BodyError::new("", "the body could not be compressed"))?
                .into();
            Ok(Prepared {
                derived,
                parsed,
                sha256: Sha256::digest(&body).into(),
                size_bytes: body.len(),
                compressed,
            })
        };
        if is_small {
            return Ok(work()?);
        }
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(|error| Error::new(ErrorKind::Unexpected, "upload.prepare").with_cause(error))??)
    }

    /// Puts a large raw body into the object store. A small one travels in the commit: it costs no further sync, and is
    /// never there without its upload.
    async fn keep_raw(&self, user: UserId, id: UploadId, prepared: &Prepared) -> Result<RawBody> {
        let sha256 = hex::encode(prepared.sha256);
        let mut raw = RawBody { sha256, size_bytes: prepared.size_bytes, object: None };
        if prepared.compressed.len() > self.settings.raw_inline_bytes_max {
            // One object an upload, so that deleting one never touches another. A crash before the commit leaves an object
            // that no upload names; the sweep removes it.
            let key = ObjectKey::new(format!("{}{id}.zst", raw_prefix(user)))?;
            let digest = Sha256Digest(Sha256::digest(&prepared.compressed).into());
            let options = PutOptions {
                content_type: "application/zstd".to_owned(),
                sha256: Some(digest),
                ..PutOptions::default()
            };
            self.platform.objects.put(&key, objects::once(prepared.compressed.clone()), options).await?;
            raw.object = Some(key.as_str().to_owned());
        }
        Ok(raw)
    }

    /// Removes the raw body of an upload that is no more, or was not to be.
    pub(crate) async fn forget_raw(&self, raw: &RawBody) -> Result<()> {
        if let Some(object) = &raw.object {
            self.platform.objects.delete(&ObjectKey::new(object.clone())?).await?;
        }
        Ok(())
    }

    /// Decides what becomes of each sample, and what is to be written for it.
    pub(crate) async fn plan(
        &self,
        caller: &Caller,
        (id, kind): (UploadId, UploadKind),
        prepared: &Prepared,
        raw: RawBody,
    ) -> Result<Plan> {
        let user = caller.user_id;
        let store = &*self.platform.health_data;
        // Where another process changed the timeline since, the commit conflicts, and the next attempt reads it.
        let mut timeline = match self.timelines.get(&user) {
            Some(timeline) => Timeline::clone(&timeline),
            None => Timeline::read(store, user).await?,
        };
        let deleted = Deleted::read(store, user, &timeline).await?;
        let groups = blocks::group(&prepared.parsed.samples);
        let mut verdicts = self.judged(user, prepared, (&groups, &timeline), &deleted).await?;
        if kind != UploadKind::Import {
            // Whoever deletes this upload deletes what it brought, and that reading is not of it.
            verdicts.completed.clear();
        }
        timeline.sequence += 1;
        let Blocks { mut writes, keys, beside, days } =
            blocks::encode(user, groups, &verdicts, &mut timeline)?;
        let now = self.platform.clock.now();
        let tombstones = Tombstones {
            ids: prepared.parsed.deleted.clone(),
            readings: std::mem::take(&mut verdicts.replaced),
        };
        let tombstones = tombstones.writes(user, timeline.sequence)?;
        timeline.has_tombstones |= !tombstones.is_empty();
        writes.extend(tombstones);
        let is_import = kind == UploadKind::Import;
        // The days of an import are computed together, by jobs of its own; those of what it deletes are yet to be found.
        let is_settled = is_import && prepared.parsed.deleted.is_empty();
        if raw.object.is_none() && !is_import {
            writes.push(Write::insert(RecordKey::raw_body(user, id), prepared.compressed.clone()));
        }
        let upload = Upload {
            id,
            kind,
            state: if is_settled { JobState::Completed } else { JobState::Stored },
            received_at: now,
            updated_at: now,
            sequence: timeline.sequence,
            receipts: verdicts.receipts(&prepared.parsed),
            received: prepared
                .parsed
                .received
                .iter()
                .map(|(list, count)| ((*list).to_owned(), *count))
                .collect(),
            items: verdicts.items(&prepared.parsed),
            raw,
            segments: keys,
            days: days.into_iter().collect(),
            has_deletions: !prepared.parsed.deleted.is_empty(),
            failure: None,
            deleted_at: None,
        };
        writes.push(Write::insert(RecordKey::upload(user, id), encode(&upload)?));
        writes.push(timeline.write(user)?);
        let mut intent = None;
        if !is_settled {
            let (key, write) = self.intend(caller, Work::ProcessUpload { upload_id: id })?;
            writes.push(write);
            intent = Some(key);
        }
        if !is_import {
            writes.push(self.platform.audit(caller, Action::Upload, format!("upload/{id}"))?);
        }
        let fates = std::mem::take(&mut verdicts.fates);
        Ok(Plan { upload, timeline: Arc::new(timeline), intent, writes, fates, beside })
    }

    /// What becomes of each sample in view of what is held.
    async fn judged<'a>(
        &self,
        user: UserId,
        prepared: &'a Prepared,
        (groups, timeline): (&Groups, &Timeline),
        deleted: &Deleted,
    ) -> Result<Verdicts<'a>> {
        let mut verdicts = Verdicts::new(prepared);
        for ((metric, day), members) in groups {
            let (first_ms, _) = blocks::span(prepared, members);
            let known = if timeline.may_hold(*metric, *day, first_ms) {
                self.known(user, (*metric, *day), prepared, members).await?
            } else {
                Known::for_members(prepared, members)
            };
            verdicts.judge(members, known, deleted);
        }
        Ok(verdicts)
    }

    /// Keeps the timeline of a plan that was committed, or forgets the one that it was made from.
    pub(crate) fn note_timeline(&self, user: UserId, plan: &Plan, is_committed: bool) {
        if is_committed {
            self.timelines.insert(user, Arc::clone(&plan.timeline));
        } else {
            drop(self.timelines.remove(&user));
        }
    }

    /// The intent to have `work` done, and its write.
    pub(crate) fn intend(&self, caller: &Caller, work: Work) -> Result<(RecordKey, Write)> {
        let mut envelope = Envelope::new(caller.user_id, work);
        envelope.traceparent.clone_from(&caller.traceparent);
        self.intend_envelope(envelope)
    }

    pub(crate) fn intend_envelope(&self, envelope: Envelope) -> Result<(RecordKey, Write)> {
        let key = RecordKey::outbox(envelope.user_id, self.platform.ids.next());
        let intent = Intent { envelope, created_at: self.platform.clock.now() };
        Ok((key.clone(), Write::insert(key, encode(&intent)?)))
    }

    /// Refuses what one commit cannot hold, or of which the deletion would be more than that.
    fn fits_with_deletion(&self, writes: &[Write], upload: &Upload) -> Result<()> {
        let limits = self.platform.health_data.limits();
        let accepted = upload.receipts.accepted;
        // Its own segments can be objects then, and what is left of joined ones.
        if accepted.saturating_mul(TOMBSTONE_BYTES) > limits.bytes_max / 8 * 7 {
            return Err(AppError::TooLarge { writes_max: limits.writes_max });
        }
        self.fits(writes, DELETION_WRITES + accepted / TOMBSTONES_MAX)
    }

    /// Refuses what one commit cannot hold, before the adapter would.
    /// `reserved` more writes must fit as well.
    pub(crate) fn fits(&self, writes: &[Write], reserved: usize) -> Result<()> {
        let limits = self.platform.health_data.limits();
        let bytes: usize = writes.iter().map(write_bytes).sum();
        if writes.len() + reserved > limits.writes_max || bytes > limits.bytes_max {
            return Err(AppError::TooLarge { writes_max: limits.writes_max });
        }
        Ok(())
    }

    /// What is held of `metric` around the times of `members`.
    async fn known(
        &self,
        user: UserId,
        (metric, day): (Metric, Date),
        prepared: &Prepared,
        members: &[usize],
    ) -> Result<Known> {
        let (first_ms, last_ms) = blocks::span(prepared, members);
        let overlaps = |record: &Record| {
            let header = segments::header(record)?;
            // An export tells times to the second.
            Ok(header.start_ms_min < last_ms.saturating_add(1000)
                && header.end_ms_max > first_ms.saturating_sub(1000))
        };
        // A reading that begins in another second than all of these is none of them. A day may hold 86,400, of which a late
        // upload asks for one.
        let second = |sample: &Sample| sample.interval.start_ms().div_euclid(1000);
        let seconds: HashSet<i64> = members.iter().map(|at| second(&prepared.parsed.samples[*at])).collect();
        let mut known = Known::for_members(prepared, members);
        for segment in self.segments_of(user, metric, day, overlaps).await? {
            for (_, sample) in &segment.samples {
                if seconds.contains(&second(sample)) {
                    known.add(sample);
                }
            }
        }
        Ok(known)
    }
}

/// What the names of a user's raw bodies begin with. Names of objects get into logs, folders and bills, so it is not their id.
pub(crate) fn raw_prefix(user: UserId) -> String {
    format!("raw/{}/", hash_of("objects", user))
}

/// What they began with in the first builds. An upload names its object, so those are still found; an erasure looks for both.
pub(crate) fn early_raw_prefix(user: UserId) -> String {
    format!("raw/{user}/")
}

thread_local! {
    /// Making one costs more than a small body.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Some(compressor) => compressor.compress(body),
        None => compressor.insert(Compressor::new(1)?).compress(body),
    })
}

pub(crate) fn write_bytes(write: &Write) -> usize {
    let key = write.change.key();
    let body = match &write.change {
        Change::Put(record) => record.body.len(),
        Change::Delete(_) | Change::Check(_) => 0,
    };
    // A partition's name is at most 41 bytes, a kind's 16.
    key.sort.as_str().len() + 64 + body
}
