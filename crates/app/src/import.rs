//! Files of readings, such as Apple Health's export: kept portion by portion, each with how far the file was read.
//!
//! A portion's readings and the position behind it are one commit, so an import that was killed goes on where it stopped. That
//! is only a saving: readings are told by what they hold, so reading a file once more keeps nothing twice.

mod prefix;
mod read;
mod resume;
mod uploaded;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::{
    ids::{ImportId, SampleId, UploadId, UserId},
    metric::Metric,
    record::RecordKey,
    sample::Sample,
};
use jiff::Timestamp;
use ports::{Error, ErrorKind, ObjectKey, Precondition, PutOptions, Sha256Digest, Version, Write, objects};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App,
    audit::{Action, Caller},
    days::DayRanges,
    error::Result,
    ingest::{self, Parsed, Place, REJECTIONS_MAX, Rejection},
    process::DueDays,
    records::{RawBody, Receipts, UploadKind, encode, get},
    upload::{Plan, Prepared, block_of, raw_prefix},
};

use self::uploaded::Uploaded;
pub(crate) use self::uploaded::{Failing, PUT_WITHIN};
pub use self::{
    prefix::Prefix,
    read::{Ended, Form, HEAD_BYTES, LineReceipt, Source, head, import_id},
    uploaded::{Announced, Place as UploadPlace, spool},
};
pub use crate::upload::Fate;

/// The list that the samples of a file are of, in the pointers of receipts: `/line/12`.
const LINES: &str = "line";

/// After so many portions the days that they touched are computed, although the file goes on.
const PORTIONS_A_JOB: u32 = 64;

/// Or after so many ranges of days: they lie in the import's record.
const RANGES_A_JOB: usize = 1_000;

/// What the record of an import may hold of each of its lists, in bytes. All of them together are far below the 400 KiB that a
/// record has where it has least.
const REJECTED_BYTES_MAX: usize = 64 * 1024;
const UNSUPPORTED_BYTES_MAX: usize = 16 * 1024;
const LEFT_OUT_BYTES_MAX: usize = 16 * 1024;
const ATTACHMENTS_BYTES_MAX: usize = 128 * 1024;

/// What an entry of a list takes beside its texts.
const ENTRY_BYTES: usize = 80;

/// So many files beside the readings are noted in one commit.
const ATTACHMENTS_A_COMMIT: usize = 32;

/// How many types that are not kept are counted one by one.
const UNSUPPORTED_MAX: usize = 500;

/// How many files beside the readings that are not kept are named.
const LEFT_OUT_MAX: usize = 100;

/// What a commit holds besides segments: upload, timeline, tombstones, import, its entry, days, intent.
const OTHER_WRITES: usize = 9;

/// Between two elements of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Bytes before it, where the file is compressed those of its content.
    pub offset: u64,
    /// Its line, from 1.
    pub line: u64,
}

impl Position {
    /// Where a file begins.
    pub const START: Self = Self { offset: 0, line: 1 };
}

/// Where an import stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Announced; its file is yet to be put into the object store.
    Waiting,
    /// A worker will read it.
    Queued,
    /// Being read, or left by somebody who was stopped.
    Running,
    /// Read to its end.
    Completed,
    /// Refused at its position; what came before is kept.
    Failed,
}

impl State {
    /// Whether nothing changes any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// What was counted of a file's elements.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Readings that were new.
    pub accepted: u64,
    /// Readings that were held already.
    pub duplicate: u64,
    /// Elements that were refused; the first [`REJECTIONS_MAX`] are listed.
    pub rejected: u64,
    /// Elements of types that are not kept, by type.
    pub unsupported: BTreeMap<String, u64>,
}

impl Counts {
    /// All elements that would be readings.
    pub fn received(&self) -> u64 {
        self.accepted + self.duplicate + self.rejected
    }
}

/// A file and what became of it so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// Where it stands.
    pub state: State,
    /// How far it was read.
    pub position: Position,
    /// What was counted.
    pub counts: Counts,
    /// Files beside the readings that are kept as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// How many files beside the readings are not kept.
    #[serde(default)]
    pub attachments_left_out: u64,
    /// Which, the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// How the file begins, up to its position or a little before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// What was refused, and why. `pointer` is `/line/` and the line.
    pub rejected: Vec<Rejection>,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When its position last changed.
    pub updated_at: Timestamp,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The file, where it is, or will be, in the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Uploaded>,
    /// Readings that are kept behind the position and were not counted yet: where it was stopped between two parts of a portion,
    /// or begins anew with the same file, they come again as known ones, and were new all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    uncounted: u64,
    /// Days that were touched and are not given to a job yet.
    #[serde(default, skip_serializing_if = "DayRanges::is_empty")]
    days: DayRanges,
    /// Days of which there is more than one segment now, likewise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    joins: BTreeMap<Metric, DayRanges>,
}

impl Import {
    /// Moves behind a portion, of whose parts these are the receipts.
    fn advance<'a>(&mut self, end: &End, again: u64, receipts: impl Iterator<Item = &'a Receipts>) {
        self.uncounted = again;
        self.position = end.position;
        if end.prefix.is_some() {
            self.prefix.clone_from(&end.prefix);
        }
        for (kind, count) in &end.unsupported {
            let kinds = &mut self.counts.unsupported;
            let bytes: usize = kinds.keys().map(|kind| json_bytes(kind)).sum();
            let fits = kinds.len() < UNSUPPORTED_MAX && bytes + json_bytes(kind) <= UNSUPPORTED_BYTES_MAX;
            if fits || kinds.contains_key(kind) {
                *kinds.entry(kind.clone()).or_default() += count;
            }
        }
        for receipts in receipts {
            self.note(receipts);
        }
    }

    /// Adds a part's receipt.
    fn note(&mut self, receipts: &Receipts) {
        let again = self.uncounted.min(receipts.duplicate as u64);
        self.uncounted -= again;
        self.counts.accepted += receipts.accepted as u64 + again;
        self.counts.duplicate += receipts.duplicate as u64 - again;
        self.counts.rejected += receipts.rejected_total as u64;
        let mut bytes: usize = self.rejected.iter().map(rejection_bytes).sum();
        for rejection in &receipts.rejected {
            bytes += rejection_bytes(rejection);
            if self.rejected.len() == REJECTIONS_MAX || bytes > REJECTED_BYTES_MAX {
                break;
            }
            self.rejected.push(rejection.clone());
        }
    }

    /// Notes what is to be done for the days of a part.
    fn touch(&mut self, plan: &Plan) {
        for day in &plan.upload.days {
            self.days.insert(*day);
        }
        for (metric, day) in &plan.beside {
            self.joins.entry(*metric).or_default().insert(*day);
        }
    }

    /// Notes which files beside the readings are not kept: all of them at once, however often the file is read.
    fn leave_out(&mut self, mut left_out: Vec<LeftOut>) {
        self.attachments_left_out = left_out.len() as u64;
        left_out.truncate(LEFT_OUT_MAX);
        let mut bytes = 0;
        let fits = |file: &LeftOut| {
            bytes += json_bytes(&file.name) + ENTRY_BYTES;
            bytes <= LEFT_OUT_BYTES_MAX
        };
        self.left_out = left_out.into_iter().take_while(fits).collect();
    }

    /// Whether another file beside the readings can be named.
    fn has_room(&self, name: &str) -> bool {
        // The object's name holds the digest, too.
        let bytes_of = |name: &str| json_bytes(name) + 2 * 64 + 2 * ENTRY_BYTES;
        let bytes: usize = self.attachments.iter().map(|kept| bytes_of(&kept.name)).sum();
        bytes + bytes_of(name) <= ATTACHMENTS_BYTES_MAX
    }

    /// In how many ranges of days something is left to be given to a job.
    fn ranges(&self) -> usize {
        self.days.ranges() + self.joins.values().map(DayRanges::ranges).sum::<usize>()
    }

    /// Whether nothing is left to be given to a job.
    fn is_handed_over(&self) -> bool {
        self.days.is_empty() && self.joins.is_empty()
    }

    /// Takes what is not given to a job yet.
    fn due(&mut self) -> DueDays {
        DueDays { days: std::mem::take(&mut self.days), joins: std::mem::take(&mut self.joins) }
    }
}

/// A file that came with the readings, such as an electrocardiogram or the route of a workout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Its path in the archive that it came in.
    pub name: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
    /// The object that holds it.
    pub(crate) object: String,
}

/// A file that came with the readings and is not kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its path in the archive that it came in.
    pub name: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// `too_large`, or `too_many`: others came first.
    pub code: String,
}

/// An import in hand.
#[derive(Debug)]
struct Importing {
    /// As it is kept.
    pub import: Import,
    version: Option<Version>,
    portions: u32,
    /// Whether its entry is among the intents: who finds it there hands its days over if nobody else does.
    is_entered: bool,
    /// Whether samples may come with ids of their own.
    has_own_ids: bool,
    /// Of the parts of the portion in hand.
    receipts: Vec<Receipts>,
    /// Objects that are put, and that no commit names yet.
    loose: Vec<ObjectKey>,
    /// Readings before this portion that will come again as known ones, and were not counted as new.
    uncounted: u64,
}

/// The next part of a file.
#[derive(Default)]
struct Portion {
    /// Its readings, in the file's order.
    pub samples: Vec<Sample>,
    /// The line of each.
    pub lines: Vec<u64>,
    /// Ids of samples that were deleted.
    pub deleted: Vec<SampleId>,
    /// What could not be read, and why.
    pub rejected: Vec<Rejection>,
    /// How many could not be read.
    pub rejected_total: u64,
    /// Elements of types that are not kept.
    pub unsupported: BTreeMap<String, u64>,
    /// Where it ends.
    pub end: Option<Position>,
    /// How the file begins, up to there.
    pub prefix: Option<Prefix>,
}

/// What moves with the last part of a portion.
struct End {
    position: Position,
    prefix: Option<Prefix>,
    unsupported: BTreeMap<String, u64>,
}

impl App {
    /// An import, as it stands.
    pub async fn import(&self, caller: &Caller, id: ImportId) -> Result<Option<Import>> {
        self.platform.audit_read(caller, format!("import/{id}")).await?;
        self.import_again(caller, id).await
    }

    /// The same for whoever watches it, and was audited when they began to.
    pub async fn import_again(&self, caller: &Caller, id: ImportId) -> Result<Option<Import>> {
        let stored =
            get::<Import>(&*self.platform.health_data, &RecordKey::import(caller.user_id, id)).await?;
        Ok(stored.map(|stored| stored.body))
    }

    /// Begins to import a file, or takes up an import that was left. One that was read to its end begins anew, and so does one
    /// of lines, each of which gets its receipt again: only those have ids of their own.
    async fn begin_import(&self, caller: &Caller, id: ImportId, has_own_ids: bool) -> Result<Importing> {
        let store = &*self.platform.health_data;
        let stored = get::<Import>(store, &RecordKey::import(caller.user_id, id)).await?;
        let audit = self.platform.audit(caller, Action::Upload, format!("import/{id}"))?;
        store.commit(vec![audit]).await?;
        let version = stored.as_ref().map(|stored| stored.version);
        let import = match stored {
            Some(stored) if !has_own_ids && stored.body.state != State::Completed => {
                Import { state: State::Running, failure: None, ..stored.body }
            }
            Some(mut earlier) => {
                let file = earlier.body.file.take();
                let Import { state, uncounted, ref counts, .. } = earlier.body;
                // Only an announced file is certainly the same as before; who streams one is told of each line anew.
                let is_same = file.is_some() && state != State::Completed;
                let uncounted = if is_same { uncounted + counts.accepted } else { 0 };
                Import { file, uncounted, ..self.anew(id, earlier.body.due()) }
            }
            None => self.anew(id, DueDays::default()),
        };
        let receipts = Vec::new();
        let (uncounted, loose) = (import.uncounted, Vec::new());
        Ok(Importing {
            import,
            version,
            portions: 0,
            is_entered: false,
            has_own_ids,
            receipts,
            uncounted,
            loose,
        })
    }

    /// Forgets how far an import had come: its file is another one now. What it brought is kept.
    async fn begin_anew(&self, caller: &Caller, mut importing: Importing) -> Result<Import> {
        let file = importing.import.file.take();
        let next = Import { file, ..self.anew(importing.import.id, importing.import.due()) };
        let write = import_write(caller.user_id, importing.version, &next)?;
        self.platform.health_data.commit(vec![write]).await?;
        Ok(next)
    }

    fn anew(&self, id: ImportId, due: DueDays) -> Import {
        let now = self.platform.clock.now();
        Import {
            id,
            state: State::Running,
            position: Position::START,
            counts: Counts::default(),
            attachments: Vec::new(),
            attachments_left_out: 0,
            left_out: Vec::new(),
            prefix: None,
            rejected: Vec::new(),
            started_at: now,
            updated_at: now,
            failure: None,
            file: None,
            uncounted: 0,
            days: due.days,
            joins: due.joins,
        }
    }

    /// Keeps a portion and where it ends. Answers what became of each of its readings; where this fails, none of those that
    /// were not answered for is lost: the import goes on before them.
    async fn import_portion(
        &self,
        caller: &Caller,
        importing: &mut Importing,
        portion: Portion,
    ) -> Result<Vec<Fate>> {
        let Portion { samples, lines, deleted, rejected, rejected_total, unsupported, end, prefix } = portion;
        let mut end = end.map(|position| End { position, prefix, unsupported });
        let groups_max = self.platform.health_data.limits().writes_max.saturating_sub(OTHER_WRITES).max(1);
        let mut parts = split(samples, lines, groups_max);
        if parts.is_empty() {
            parts.push((Vec::new(), Vec::new()));
        }
        let before = Receipts {
            rejected_total: usize::try_from(rejected_total).unwrap_or(usize::MAX),
            rejected,
            ..Receipts::default()
        };
        importing.receipts = vec![before];
        let (last, mut fates) = (parts.len() - 1, Vec::new());
        let mut deleted = Some(deleted);
        for (at, (samples, lines)) in parts.into_iter().enumerate() {
            let place = |line: &u64| Place { list: LINES, index: to_index(*line) };
            let parsed = Parsed {
                places: lines.iter().map(place).collect(),
                received: vec![(LINES, samples.len())],
                samples,
                deleted: deleted.take().unwrap_or_default(),
                ..Parsed::default()
            };
            // The position moves with the last part: a kill between two of them reads the first ones again.
            let end = if at == last { end.take() } else { None };
            fates.extend(self.import_part(caller, importing, parsed, end).await?);
        }
        Ok(fates)
    }

    async fn import_part(
        &self,
        caller: &Caller,
        importing: &mut Importing,
        parsed: Parsed,
        end: Option<End>,
    ) -> Result<Vec<Fate>> {
        let user = caller.user_id;
        let prepared = prepare(parsed, importing.has_own_ids).await?;
        let raw = RawBody { sha256: hex::encode(prepared.sha256), size_bytes: 0, object: None };
        let id = UploadId(self.platform.ids.next());
        let _turn = self.turns.take(user).await;
        let mut attempt = 1;
        loop {
            let mut plan = self.plan(caller, (id, UploadKind::Import), &prepared, raw.clone()).await?;
            let mut next = importing.import.clone();
            // Counted with the position: who reads a part again must not count it twice.
            if let Some(end) = &end {
                let receipts = importing.receipts.iter().chain([&plan.upload.receipts]);
                next.advance(end, importing.uncounted, receipts);
            } else {
                next.uncounted += plan.upload.receipts.accepted as u64;
            }
            next.touch(&plan);
            next.updated_at = self.platform.clock.now();
            // What was held already leaves no trace but in the import's own counts.
            let brings_something = !plan.upload.segments.is_empty() || plan.upload.has_deletions;
            let mut writes = if brings_something { std::mem::take(&mut plan.writes) } else { Vec::new() };
            let mut nudge = None;
            if importing.portions + 1 >= PORTIONS_A_JOB || next.ranges() >= RANGES_A_JOB {
                nudge = self.hand_over(user, &mut next, &mut writes)?;
            }
            let enters = !importing.is_entered && !next.is_handed_over();
            if enters {
                writes.push(enter(user, next.id));
            }
            writes.push(import_write(user, importing.version, &next)?);
            let made = self.offload(user, &mut writes).await?;
            let committed = self.platform.health_data.commit(writes).await;
            if brings_something {
                self.note_timeline(user, &plan, committed.is_ok());
            }
            match committed {
                Ok(()) => {
                    importing.is_entered |= enters;
                    importing.portions = if nudge.is_some() { 0 } else { importing.portions + 1 };
                    if let Some(intent) = nudge {
                        self.relay.nudge(intent);
                    }
                    if end.is_some() {
                        importing.uncounted = next.uncounted;
                    }
                    importing.import = next;
                    importing.version = Some(importing.version.map_or(Version(1), Version::next));
                    importing.receipts.push(plan.upload.receipts.clone());
                    if let Some(intent) = plan.intent.take() {
                        self.relay.nudge(intent);
                    }
                    metrics::counter!("samples_accepted_total")
                        .increment(plan.upload.receipts.accepted as u64);
                    return Ok(plan.fates);
                }
                Err(error) => {
                    self.take_back(&made, &error).await;
                    let is_conflict = error.kind() == ErrorKind::Conflict;
                    if !is_conflict || attempt >= self.settings.commit_attempts_max {
                        return Err(error.into());
                    }
                    self.check_alone(user, importing).await?;
                    attempt += 1;
                }
            }
        }
    }

    /// Keeps a file that came with the readings. The same file once more is the same object.
    async fn import_attachment(
        &self,
        caller: &Caller,
        importing: &mut Importing,
        name: String,
        body: Bytes,
    ) -> Result<()> {
        let digest: [u8; 32] = Sha256::digest(&body).into();
        let sha256 = hex::encode(digest);
        let import = &importing.import;
        if import.attachments.iter().any(|kept| kept.name == name && kept.sha256 == sha256) {
            return Ok(());
        }
        if !import.has_room(&name) {
            importing.import.attachments_left_out += 1;
            return Ok(());
        }
        let object = format!("{}{sha256}", attachment_prefix(caller.user_id, Some(import.id)));
        let options = PutOptions { sha256: Some(Sha256Digest(digest)), ..PutOptions::default() };
        let size_bytes = body.len() as u64;
        let key = ObjectKey::new(object.clone())?;
        self.platform.objects.put(&key, objects::once(body), options).await?;
        importing.loose.push(key);
        importing.import.attachments.push(Attachment { name, size_bytes, sha256, object });
        if importing.loose.len() == ATTACHMENTS_A_COMMIT {
            self.note_attachments(caller.user_id, importing).await?;
        }
        Ok(())
    }

    /// Commits the names of files that were put, some at once: each commit writes the whole import.
    async fn note_attachments(&self, user: UserId, importing: &mut Importing) -> Result<()> {
        if importing.loose.is_empty() {
            return Ok(());
        }
        importing.import.updated_at = self.platform.clock.now();
        let write = import_write(user, importing.version, &importing.import)?;
        if let Err(error) = self.platform.health_data.commit(vec![write]).await {
            if ports::denial(&error).is_some() {
                // Its user was erased meanwhile, and their objects may have been looked through already.
                for key in &importing.loose {
                    self.platform.objects.delete(key).await?;
                }
            }
            return Err(error.into());
        }
        importing.loose.clear();
        importing.version = Some(importing.version.map_or(Version(1), Version::next));
        Ok(())
    }

    /// Leaves an import that broke off: what it brought so far counts, also if nobody goes on with it.
    async fn leave_import(&self, caller: &Caller, mut importing: Importing) -> Result<Import> {
        self.note_attachments(caller.user_id, &mut importing).await?;
        let (mut next, mut writes) = (importing.import, Vec::new());
        let nudge = self.hand_over(caller.user_id, &mut next, &mut writes)?;
        if let Some(intent) = nudge {
            writes.push(leave(caller.user_id, next.id));
            writes.push(import_write(caller.user_id, importing.version, &next)?);
            self.platform.health_data.commit(writes).await?;
            self.relay.nudge(intent);
        }
        Ok(next)
    }

    /// Ends an import: read to its end, or refused where it stands.
    async fn end_import(
        &self,
        caller: &Caller,
        mut importing: Importing,
        failure: Option<String>,
    ) -> Result<Import> {
        let user = caller.user_id;
        self.note_attachments(user, &mut importing).await?;
        let mut next = importing.import.clone();
        next.state = if failure.is_some() { State::Failed } else { State::Completed };
        next.failure = failure;
        next.updated_at = self.platform.clock.now();
        let mut writes = Vec::new();
        let nudges =
            [self.hand_over(user, &mut next, &mut writes)?, self.let_go(user, &mut next, &mut writes)?];
        writes.push(leave(user, next.id));
        writes.push(import_write(user, importing.version, &next)?);
        let state: &'static str = next.state.into();
        let subject = serde_json::json!({ "import_id": next.id, "status": state });
        self.commit_with_event(user, "import.read", subject, writes).await?;
        for intent in nudges.into_iter().flatten() {
            self.relay.nudge(intent);
        }
        importing.import = next;
        Ok(importing.import)
    }

    /// Leaves the days that were touched so far to a job, if there are any.
    fn hand_over(
        &self,
        user: UserId,
        import: &mut Import,
        writes: &mut Vec<Write>,
    ) -> Result<Option<RecordKey>> {
        let due = import.due();
        if due.is_empty() { Ok(None) } else { self.due(user, &due, writes).map(Some) }
    }

    /// Refuses to go on where somebody else imports the same file.
    async fn check_alone(&self, user: UserId, importing: &Importing) -> Result<()> {
        let key = RecordKey::import(user, importing.import.id);
        let now = self.platform.health_data.get(&key).await?.map(|record| record.version);
        if now == importing.version {
            return Ok(());
        }
        let cause = "the same file is being imported by somebody else";
        Err(Error::new(ErrorKind::Conflict, "import.portion").with_cause(cause).into())
    }
}

/// The write of an import's entry among the intents.
fn enter(user: UserId, import: ImportId) -> Write {
    Write::put(RecordKey::importing(user, import), Version(1), "{}", Precondition::None)
}

/// The write that removes it.
fn leave(user: UserId, import: ImportId) -> Write {
    Write::delete(RecordKey::importing(user, import), Precondition::None)
}

/// The write of an import that was last written in `version`.
fn import_write(user: UserId, version: Option<Version>, import: &Import) -> Result<Write> {
    let (key, body) = (RecordKey::import(user, import.id), encode(import)?);
    Ok(match version {
        None => Write::insert(key, body),
        Some(version) => Write::put(key, version.next(), body, Precondition::VersionEquals(version)),
    })
}

/// What the names of objects begin with that came with the readings of an import, or of all imports of a user.
pub(crate) fn attachment_prefix(user: UserId, import: Option<ImportId>) -> String {
    let all = format!("{}imports/", raw_prefix(user));
    import.map_or_else(|| all.clone(), |import| format!("{all}{import}/"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn rejection_bytes(rejection: &Rejection) -> usize {
    let Rejection { pointer, code, message, .. } = rejection;
    // With an id.
    2 * ENTRY_BYTES + json_bytes(pointer) + json_bytes(code) + json_bytes(message)
}

/// How long a text is at most in JSON.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte: u8| if byte < b' ' || matches!(byte, b'"' | b'\\') { 6 } else { 1 };
    text.bytes().map(escaped).sum()
}

fn to_index(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

/// Hashes: a thread's work. Of a file without ids each sample has the one that its content key makes.
async fn prepare(parsed: Parsed, has_own_ids: bool) -> Result<Prepared> {
    let work = move || {
        let derived =
            |sample: &Sample| if has_own_ids { sample.content_key().sample_id() } else { sample.id };
        let derived: Vec<SampleId> = parsed.samples.iter().map(derived).collect();
        let mut sha256 = Sha256::new();
        for id in &derived {
            sha256.update(id.0.as_bytes());
        }
        Prepared {
            parsed,
            derived,
            sha256: sha256.finalize().into(),
            size_bytes: 0,
            compressed: Bytes::new(),
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Error::new(ErrorKind::Unexpected, "import.prepare").with_cause(error))?)
}

/// Splits samples, in their order, into parts of at most so many segments.
fn split(mut samples: Vec<Sample>, mut lines: Vec<u64>, groups_max: usize) -> Vec<(Vec<Sample>, Vec<u64>)> {
    let (mut groups, mut ends, mut at) = (BTreeSet::new(), Vec::new(), 0);
    for run in samples.chunk_by(|one, next| block_of(one) == block_of(next)) {
        groups.insert(block_of(&run[0]));
        if groups.len() > groups_max {
            ends.push(at);
            groups = BTreeSet::from([block_of(&run[0])]);
        }
        at += run.len();
    }
    let mut parts: Vec<(Vec<Sample>, Vec<u64>)> =
        ends.into_iter().rev().map(|end| (samples.split_off(end), lines.split_off(end))).collect();
    if !samples.is_empty() {
        parts.push((samples, lines));
    }
    parts.reverse();
    parts
}

/// Takes what is implausible out of a portion, and notes why, by the rules of uploads.
fn sift(portion: &mut Portion, now: Timestamp) {
    let samples = std::mem::take(&mut portion.samples);
    let lines = std::mem::take(&mut portion.lines);
    for (sample, line) in samples.into_iter().zip(lines) {
        match ingest::implausible(&sample, now, Place { list: LINES, index: to_index(line) }) {
            None => {
                portion.samples.push(sample);
                portion.lines.push(line);
            }
            Some(rejection) => {
                portion.rejected_total += 1;
                if portion.rejected.len() < REJECTIONS_MAX {
                    portion.rejected.push(rejection);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
