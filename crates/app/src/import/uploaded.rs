//! Files that are put into the object store first, by a presigned URL, and imported by a worker then: whoever sends gigabytes over
//! a weak line does not hold a connection to a server meanwhile, and an import goes on when its worker does not.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    time::Duration,
};

use domain::{
    envelope::Work,
    ids::{ImportId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
    time::ZoneName,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use ports::{Error, ErrorKind, Object, ObjectKey, PresignedMethod, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{Ended, Form, Import, Source, State, import_write};
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
const PUT_WITHIN: Duration = Duration::from_hours(6);

/// How many announced files of one user may wait for their bytes.
const WAITING_MAX: usize = 5;

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
        let mut writes = self.forget_waiting(user).await?;
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

    /// Has an announced file imported, now that it is there. One that was started before is answered as it stands.
    pub async fn start_import(&self, caller: &Caller, id: ImportId) -> Result<Import> {
        let user = caller.user_id;
        let key = RecordKey::import(user, id);
        let stored = get::<Import>(&*self.platform.health_data, &key).await?.ok_or(AppError::NotFound)?;
        if stored.body.state != State::Waiting {
            return Ok(stored.body);
        }
        let next = Import { state: State::Queued, updated_at: self.platform.clock.now(), ..stored.body };
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
        let Some(file) = import.file.filter(|_| matches!(import.state, State::Queued | State::Running))
        else {
            return Ok(());
        };
        let object = self.platform.objects.get(&ObjectKey::new(file.object.clone())?, None).await?;
        let Some(object) = object else {
            return self.refuse(user, id, "nothing was put where the file was to be put").await;
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

    async fn refuse(&self, user: UserId, id: ImportId, reason: &str) -> Result<()> {
        Ok(self.fail_import(user, id, reason).await?)
    }

    /// Notes that an announced file will not be imported, and why.
    pub(crate) async fn fail_import(&self, user: UserId, id: ImportId, reason: &str) -> ports::Result<()> {
        let key = RecordKey::import(user, id);
        let stored = match get::<Import>(&*self.platform.health_data, &key).await {
            Ok(Some(stored)) if !stored.body.state.is_terminal() => stored,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error),
        };
        let unexpected = |error: AppError| match error {
            AppError::Port(error) => error,
            error => Error::new(ErrorKind::Unexpected, "import.fail").with_cause(error),
        };
        let mut next = Import {
            state: State::Failed,
            failure: Some(reason.to_owned()),
            updated_at: self.platform.clock.now(),
            ..stored.body
        };
        let mut writes = Vec::new();
        let nudges = [
            self.hand_over(user, &mut next, &mut writes).map_err(unexpected)?,
            self.let_go(user, &mut next, &mut writes).map_err(unexpected)?,
        ];
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
        let (key, write) = self.intend_envelope(domain::envelope::Envelope::new(user, work))?;
        writes.push(write);
        Ok(Some(key))
    }

    /// Writes that forget announced files which never came. Refuses where too many still may.
    async fn forget_waiting(&self, user: UserId) -> Result<Vec<Write>> {
        let (store, now) = (&*self.platform.health_data, self.platform.clock.now());
        let records = query_all(store, Partition::User(user), Kind::Import, SortRange::all()).await?;
        let (mut writes, mut waiting) = (Vec::new(), 0);
        for record in &records {
            let mut import: Import = decode(record)?;
            let Some(file) = import.file.as_ref().filter(|_| import.state == State::Waiting) else {
                continue;
            };
            if file.expires_at > now {
                waiting += 1;
                continue;
            }
            import.state = State::Failed;
            import.failure = Some("the file was not put in time".to_owned());
            self.let_go(user, &mut import, &mut writes)?;
            writes.push(import_write(user, Some(record.version), &import)?);
        }
        if waiting >= WAITING_MAX {
            let cause = "too many announced files wait for their bytes: put one, or announce it later";
            return Err(Error::new(ErrorKind::RateLimited, "import.announce").with_cause(cause).into());
        }
        Ok(writes)
    }
}

/// What the names of a user's announced files begin with.
pub(crate) fn file_prefix(user: UserId) -> String {
    format!("{}files/", raw_prefix(user))
}

impl Import {
    /// The object that it will be read from, unless nobody put and started it in time.
    pub(crate) fn awaits(&self, now: Timestamp) -> Option<&String> {
        let is_late = |file: &&Uploaded| self.state == State::Waiting && file.expires_at <= now;
        self.file.as_ref().filter(|file| !is_late(file)).map(|file| &file.object)
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
