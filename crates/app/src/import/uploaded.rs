//! Files that are put into the object store first, by a presigned URL, and imported by a worker then: whoever sends gigabytes over
//! a weak line does not hold a connection to a server meanwhile, and an import goes on when its worker does not.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    time::Duration,
};

use domain::{
    envelope::{Envelope, Work},
    ids::{ImportId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
    time::ZoneName,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use ports::{Error, ErrorKind, Object, ObjectKey, PresignedMethod, Version, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{Ended, Form, Import, Source, State, import_write, leave};
use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    process::DueDays,
    records::{decode, get, query_all},
    upload::raw_prefix,
};

/// How long a file may be put after it was announced.
pub(crate) const PUT_WITHIN: Duration = Duration::from_hours(6);

/// How many announced files of one user may wait for their bytes.
const WAITING_MAX: usize = 5;

/// How long a file is kept whose import was given up, for its user or an operator to start it again.
const GIVEN_UP_KEPT: Duration = Duration::from_hours(30 * 24);

/// A file that is to be imported from the object store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Uploaded {
    /// The object that it is put into.
    object: String,
    form: Form,
    /// Of samples that name none.
    time_zone: Option<ZoneName>,
    size_bytes: u64,
    /// Until when it may be put.
    expires_at: Timestamp,
    /// The request that announced it, for the audit trail.
    request_id: String,
}

/// What is announced.
pub struct Announced {
    /// What the file is.
    pub form: Form,
    /// How long it is.
    pub size_bytes: u64,
    /// The zone of samples that name none; of lines only.
    pub time_zone: Option<ZoneName>,
}

/// Where an announced file is put.
pub struct Place {
    /// Its import, which waits for it.
    pub import: Import,
    /// Where a `PUT` takes it.
    pub url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl App {
    /// Announces a file: answers where to put it.
    pub async fn announce_import(
        &self,
        caller: &Caller,
        announced: Announced,
        once: Option<&Once<'_, Place>>,
    ) -> Result<Outcome<Place>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let user = caller.user_id;
        let mut writes = self.settle_waiting(user).await?;
        let id = ImportId(self.platform.ids.next());
        let object = format!("{}{id}", file_prefix(user));
        let key = ObjectKey::new(object.clone())?;
        let Announced { form, size_bytes, time_zone } = announced;
        let method = PresignedMethod::Put { size_bytes_max: size_bytes };
        let url = self.platform.objects.presign(&key, method, PUT_WITHIN).await?;
        let mut import = self.anew(id, DueDays::default());
        let expires_at = import.started_at.saturating_add(PUT_WITHIN).unwrap_or(Timestamp::MAX);
        import.state = State::Waiting;
        import.file = Some(Uploaded {
            object,
            form,
            time_zone,
            size_bytes,
            expires_at,
            request_id: caller.request_id.clone(),
        });
        writes.push(import_write(user, None, &import)?);
        writes.push(self.platform.audit(caller, Action::Upload, format!("import/{id}"))?);
        self.commit_once(writes, once, Place { import, url, expires_at }).await
    }

    /// Has an announced file imported, now that it is there, or once more where its import was given up. One that was started
    /// before is answered as it stands.
    pub async fn start_import(&self, caller: &Caller, id: ImportId) -> Result<Import> {
        let user = caller.user_id;
        let key = RecordKey::import(user, id);
        let stored = get::<Import>(&*self.platform.health_data, &key).await?.ok_or(AppError::NotFound)?;
        if stored.body.state != State::Waiting && !stored.body.is_given_up() {
            return Ok(stored.body);
        }
        let updated_at = self.platform.clock.now();
        let next = Import { state: State::Queued, failure: None, updated_at, ..stored.body };
        let (intent, intent_write) = self.intend(caller, Work::ImportFile { import_id: id })?;
        let writes = vec![
            import_write(user, Some(stored.version), &next)?,
            intent_write,
            self.platform.audit(caller, Action::Upload, format!("import/{id}"))?,
        ];
        self.platform.health_data.commit(writes).await?;
        self.relay.nudge(intent);
        Ok(next)
    }

    /// Imports a file that was put, in the worker. Where nothing is left to do, somebody did it.
    pub(crate) async fn import_uploaded(&self, user: UserId, id: ImportId) -> Result<()> {
        let stored = get::<Import>(&*self.platform.health_data, &RecordKey::import(user, id)).await?;
        let Some(import) = stored.map(|stored| stored.body) else { return Ok(()) };
        // One that was given up comes again when its message was sent back to the queue.
        let is_due = matches!(import.state, State::Queued | State::Running | State::Failed);
        let Some(file) = import.file.filter(|_| is_due) else { return Ok(()) };
        let object = self.platform.objects.get(&ObjectKey::new(file.object.clone())?, None).await?;
        let Some(object) = object else {
            let reason = "nothing was put where the file was to be put, or nobody started it in time";
            return self.refuse(user, id, reason).await;
        };
        if object.meta.size_bytes != file.size_bytes {
            return self.refuse(user, id, "what was put is not as long as it was announced to be").await;
        }
        let caller = Caller { user_id: user, actor: user, request_id: file.request_id, traceparent: None };
        let source = source(object, file.form, file.time_zone).await?;
        match self.import_file(&caller, id, source, |_, _| Ok(())).await? {
            Ended::Read(_) => Ok(()),
            Ended::BrokeOff(_, error) => {
                Err(Error::new(ErrorKind::Unavailable, "import.read").with_cause(error).into())
            }
            // The next delivery reads it from its beginning.
            Ended::Changed(_) => Err(Error::new(ErrorKind::Conflict, "import.changed").into()),
        }
    }

    /// Nothing can come of the file, which goes.
    async fn refuse(&self, user: UserId, id: ImportId, reason: &str) -> Result<()> {
        Ok(self.fail_import(user, id, reason, Failing::Refused).await?)
    }

    /// Notes that an announced file was not imported, and why.
    pub(crate) async fn fail_import(
        &self,
        user: UserId,
        id: ImportId,
        reason: &str,
        failing: Failing,
    ) -> ports::Result<()> {
        let key = RecordKey::import(user, id);
        let stored = match get::<Import>(&*self.platform.health_data, &key).await {
            Ok(Some(stored)) if !stored.body.state.is_terminal() => stored,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = self.platform.clock.now();
        if failing == Failing::Buried && !stored.body.is_idle(now) {
            return Ok(());
        }
        let unexpected = |error: AppError| match error {
            AppError::Port(error) => error,
            error => Error::new(ErrorKind::Unexpected, "import.fail").with_cause(error),
        };
        let mut next =
            Import { state: State::Failed, failure: Some(reason.to_owned()), updated_at: now, ..stored.body };
        let mut writes = vec![leave(user, id)];
        let mut nudges = vec![self.hand_over(user, &mut next, &mut writes).map_err(unexpected)?];
        // It may be the only copy of what its user was told is kept: an outage is no reason to remove it.
        if failing == Failing::Refused {
            nudges.push(self.let_go(user, &mut next, &mut writes).map_err(unexpected)?);
        }
        writes.push(import_write(user, Some(stored.version), &next).map_err(unexpected)?);
        let subject = json!({ "import_id": id, "status": "failed" });
        self.commit_with_event(user, "import.read", subject, writes).await.map_err(unexpected)?;
        for intent in nudges.into_iter().flatten() {
            self.relay.nudge(intent);
        }
        Ok(())
    }

    /// Writes that have the file of an import removed, where it was put into the object store.
    pub(super) fn let_go(
        &self,
        user: UserId,
        import: &mut Import,
        writes: &mut Vec<Write>,
    ) -> Result<Option<RecordKey>> {
        let Some(file) = import.file.take() else { return Ok(None) };
        let work = Work::ForgetObjects { objects: vec![file.object] };
        let (key, write) = self.intend_envelope(Envelope::new(user, work))?;
        writes.push(write);
        Ok(Some(key))
    }

    /// Writes that settle announced files whose time is over. Refuses where too many still may come.
    async fn settle_waiting(&self, user: UserId) -> Result<Vec<Write>> {
        let (store, now) = (&*self.platform.health_data, self.platform.clock.now());
        let records = query_all(store, Partition::User(user), Kind::Import, SortRange::all()).await?;
        let (mut writes, mut waiting) = (Vec::new(), 0);
        for record in &records {
            let import: Import = decode(record)?;
            if import.is_late(now) {
                writes.extend(self.settle_late(user, import, record.version).await?);
            } else if import.state == State::Waiting {
                waiting += 1;
            }
        }
        if waiting >= WAITING_MAX {
            let cause = "too many announced files wait for their bytes: put one, or announce it later";
            return Err(Error::new(ErrorKind::RateLimited, "import.announce").with_cause(cause).into());
        }
        Ok(writes)
    }

    /// Writes that settle an import whose time is over: a file that was put as it was announced was acknowledged, so it is
    /// imported although nobody started it; any other goes.
    pub(crate) async fn settle_late(
        &self,
        user: UserId,
        mut import: Import,
        version: Version,
    ) -> Result<Vec<Write>> {
        let Some(file) = import.file.as_ref().filter(|_| import.state == State::Waiting) else {
            let mut writes = Vec::new();
            self.let_go(user, &mut import, &mut writes)?;
            writes.push(import_write(user, Some(version), &import)?);
            return Ok(writes);
        };
        let put = self.platform.objects.head(&ObjectKey::new(file.object.clone())?).await?;
        import.updated_at = self.platform.clock.now();
        let mut writes = Vec::new();
        if put.is_some_and(|put| put.size_bytes == file.size_bytes) {
            import.state = State::Queued;
            let work = Work::ImportFile { import_id: import.id };
            writes.push(self.intend_envelope(Envelope::new(user, work))?.1);
        } else {
            import.state = State::Failed;
            import.failure = Some("the file was not put in time, or not as it was announced".to_owned());
            self.let_go(user, &mut import, &mut writes)?;
        }
        writes.push(import_write(user, Some(version), &import)?);
        Ok(writes)
    }
}

/// Why an import fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failing {
    /// Of what the file is: it goes.
    Refused,
    /// It was tried as often as a job may be: the file stays, for another try.
    GivenUp,
    /// Its message was found among those that the queue gave up, perhaps long ago: so only where nobody is at it now.
    Buried,
}

/// What the names of a user's announced files begin with.
fn file_prefix(user: UserId) -> String {
    format!("{}files/", raw_prefix(user))
}

impl Import {
    /// The objects that it names: the one that it will be read from, and those of what came with the readings.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &String> {
        let attachments = self.attachments.iter().map(|attachment| &attachment.object);
        self.file.iter().map(|file| &file.object).chain(attachments)
    }

    /// Whether it was tried as often as a job may be, and can be tried again.
    fn is_given_up(&self) -> bool {
        self.state == State::Failed && self.file.is_some()
    }

    /// Whether its file was awaited, or kept for another try, until now: [`App::settle_late`] says what becomes of it.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        let Some(file) = &self.file else { return false };
        let kept_until = self.updated_at.saturating_add(GIVEN_UP_KEPT).unwrap_or(Timestamp::MAX);
        match self.state {
            State::Waiting => file.expires_at <= now,
            State::Failed => kept_until <= now,
            State::Queued | State::Running | State::Completed => false,
        }
    }

    /// Until when a file may still be put that was announced for it; `None` for one that came otherwise. Those that are announced
    /// have an id of their own, others one that their file makes.
    pub(crate) fn may_be_put_until(&self) -> Option<Timestamp> {
        self.id.0.get_timestamp()?;
        Some(self.started_at.saturating_add(PUT_WITHIN).unwrap_or(Timestamp::MAX))
    }
}

/// An object as something that a thread reads.
async fn source(object: Object, form: Form, time_zone: Option<ZoneName>) -> Result<Source> {
    let bytes = StreamReader::new(object.body.map_err(io::Error::other));
    let mut read = SyncIoBridge::new_with_handle(bytes, Handle::current());
    Ok(match form {
        Form::Xml => Source::Xml(Box::new(read)),
        Form::Lines => Source::Lines(Box::new(read), time_zone.map(|zone| zone.as_str().to_owned())),
        Form::Archive => {
            // Its table of contents comes last.
            let spooled = tokio::task::spawn_blocking(move || spool(&mut read)).await;
            let failed = |cause: io::Error| {
                AppError::from(Error::new(ErrorKind::Unavailable, "import.spool").with_cause(cause))
            };
            Source::Archive(spooled.map_err(|panic| failed(io::Error::other(panic)))?.map_err(failed)?)
        }
    })
}

/// A file of its own that nobody else sees, and that goes with its process.
pub fn spool(read: &mut impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(read, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
