//! Everything that is held of a user, store by store, as it streams by: what is in memory does not grow with what is held.

use std::{io, sync::Arc};

use bytes::Bytes;
use domain::{
    ids::UserId,
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange},
    sample::Sample,
};
use futures::StreamExt;
use jiff::Timestamp;
use ports::{Error, ErrorKind, ObjectKey, Query, Role, objects};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    App,
    audit::{Action, Caller},
    error::Result,
    import::{Attachment, Import},
    readings::Reader,
    records::{Upload, UploadKind, corrupt, decode, encode, query_all},
    retina::RetinaAnalysis,
};

/// How many pieces wait for a reader that is slow.
const WAITING_MAX: usize = 16;
/// How many records are read at once.
const PAGE: usize = 256;
/// The largest raw body, coded and decoded: larger than any upload may be.
const RAW_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The pieces in which a raw body is handed on.
const RAW_PIECE_BYTES: usize = 64 * 1024;

/// The records that are handed out as they are kept, and the file each kind goes into.
const RECORDS: [(Kind, &str); 19] = [
    (Kind::Upload, "uploads.ndjson"),
    (Kind::Import, "imports.ndjson"),
    (Kind::Timeline, "timeline.ndjson"),
    (Kind::Preferences, "preferences.ndjson"),
    (Kind::Tombstone, "tombstones.ndjson"),
    (Kind::Daily, "daily.ndjson"),
    (Kind::Sleep, "sleep.ndjson"),
    (Kind::Circadian, "circadian.ndjson"),
    (Kind::Embedding, "embeddings.ndjson"),
    (Kind::Analysis, "analyses.ndjson"),
    (Kind::Insight, "insights.ndjson"),
    (Kind::RetinaAnalysis, "retina-analyses.ndjson"),
    (Kind::Request, "requests.ndjson"),
    (Kind::Idempotency, "replies.ndjson"),
    (Kind::Event, "events.ndjson"),
    (Kind::Consent, "consents.ndjson"),
    (Kind::Patient, "patients.ndjson"),
    (Kind::IdentityLink, "identity-links.ndjson"),
    (Kind::Audit, "audit.ndjson"),
];

/// A piece of an export. Files come one after the other.
pub enum Piece {
    /// A file begins.
    File(String),
    /// One JSON document: a line of the file.
    Line(Bytes),
    /// Readings: a line each.
    Readings(Vec<Sample>),
    /// The next bytes of the file.
    Bytes(Bytes),
    /// A file that should be there and is not.
    Missing(String),
    /// That was everything.
    End,
}

/// The pieces of an export as they come.
pub type Pieces = mpsc::Receiver<Result<Piece>>;

#[derive(Serialize)]
struct ProfileLine {
    user_id: UserId,
    email: Option<String>,
    email_verified: bool,
    display_name: Option<String>,
    roles: Vec<&'static str>,
    created_at: Option<Timestamp>,
    multi_factor: bool,
}

#[derive(Serialize)]
struct SessionLine {
    session_id: domain::ids::SessionId,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    device: Option<String>,
}

/// The way out of an export. Waits while the reader is slow; ends where it has left.
struct Out(mpsc::Sender<Result<Piece>>);

/// The reader has left.
struct Left;

enum Halt {
    Left,
    Failed(crate::AppError),
}

impl From<Left> for Halt {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

impl<E: Into<crate::AppError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Out {
    async fn send(&self, piece: Piece) -> std::result::Result<(), Left> {
        self.0.send(Ok(piece)).await.map_err(|_left| Left)
    }

    async fn file(&self, name: impl Into<String>) -> std::result::Result<(), Left> {
        self.send(Piece::File(name.into())).await
    }
}

impl App {
    /// Hands out everything that is held of the caller. It is audited first, and read only as fast as it is taken.
    pub async fn export(self: &Arc<Self>, caller: &Caller) -> Result<Pieces> {
        let write = self.platform.audit(caller, Action::Export, "everything".to_owned())?;
        self.platform.health_data.commit(vec![write]).await?;
        let (sender, pieces) = mpsc::channel(WAITING_MAX);
        let (app, user) = (Arc::clone(self), caller.user_id);
        tokio::spawn(async move {
            let out = Out(sender);
            match app.hand_out(user, &out).await {
                Ok(()) | Err(Halt::Left) => {}
                // Nobody is left to be told where this fails as well.
                Err(Halt::Failed(error)) => drop(out.0.send(Err(error)).await),
            }
        });
        Ok(pieces)
    }

    async fn hand_out(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        self.hand_out_account(user, out).await?;
        for (kind, name) in RECORDS {
            out.file(name).await?;
            let mut query = Query::new(Partition::User(user), kind, SortRange::all());
            query.limit = PAGE;
            loop {
                let page = self.platform.health_data.query(&query).await?;
                for record in page.items {
                    out.send(Piece::Line(record.body)).await?;
                }
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
        }
        out.file("samples.ndjson").await?;
        self.hand_out_readings(user, out).await?;
        self.hand_out_raw(user, out).await?;
        self.hand_out_attachments(user, out).await?;
        self.hand_out_photographs(user, out).await?;
        out.send(Piece::End).await?;
        Ok(())
    }

    async fn hand_out_account(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        let profile = self.platform.identity.profile(user).await?;
        let multi_factor = self.platform.multi_factor.is_on(user).await?;
        out.file("profile.json").await?;
        let line = ProfileLine {
            user_id: user,
            email: profile.as_ref().map(|profile| profile.email.expose().to_owned()),
            email_verified: profile.as_ref().is_some_and(|profile| profile.email_verified),
            display_name: profile.as_ref().and_then(|profile| profile.display_name.clone()),
            roles: profile.iter().flat_map(|profile| &profile.roles).copied().map(Role::as_str).collect(),
            created_at: profile.as_ref().map(|profile| profile.created_at),
            multi_factor,
        };
        out.send(Piece::Line(encode(&line)?)).await?;
        out.file("sessions.ndjson").await?;
        for session in self.platform.sessions.sessions(user).await? {
            let line = SessionLine {
                session_id: session.id,
                created_at: session.created_at,
                last_used_at: session.last_used_at,
                expires_at: session.expires_at,
                device: session.device,
            };
            out.send(Piece::Line(encode(&line)?)).await?;
        }
        Ok(())
    }

    /// Every reading, oldest day first.
    async fn hand_out_readings(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        let reader = Reader::open(&self.platform, user).await?;
        let metrics: Vec<Metric> = reader.timeline.held.keys().copied().collect();
        let next_of = |after: Option<jiff::civil::Date>| {
            let from = match after {
                Some(day) => day.tomorrow().ok()?,
                None => jiff::civil::Date::MIN,
            };
            reader.timeline.held.values().filter_map(|days| days.at_or_after(from)).min()
        };
        let mut day = next_of(None);
        while let Some(at) = day {
            for metric in &metrics {
                let samples = reader.samples(*metric, at, at).await?;
                if !samples.is_empty() {
                    out.send(Piece::Readings(samples)).await?;
                }
            }
            day = next_of(Some(at));
        }
        Ok(())
    }

    /// Every upload's body as it came.
    async fn hand_out_raw(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        let mut query = Query::new(Partition::User(user), Kind::Upload, SortRange::all());
        query.limit = PAGE;
        loop {
            let page = self.platform.health_data.query(&query).await?;
            for record in &page.items {
                let upload: Upload = decode(record)?;
                if upload.deleted_at.is_some() || upload.kind == UploadKind::Import {
                    continue;
                }
                let name = format!("raw/{}.json", upload.id);
                let Some(compressed) = self.compressed_raw(user, &upload).await? else {
                    out.send(Piece::Missing(name)).await?;
                    continue;
                };
                let decoded = tokio::task::spawn_blocking(move || decompress(&compressed)).await;
                let mut body = decoded
                    .map_err(|error| Error::new(ErrorKind::Unexpected, "export.raw").with_cause(error))?
                    .map_err(|error| corrupt(&record.key, &error))?;
                out.file(name).await?;
                while !body.is_empty() {
                    out.send(Piece::Bytes(body.split_to(body.len().min(RAW_PIECE_BYTES)))).await?;
                }
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Every file that came with an import.
    async fn hand_out_attachments(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        let imports =
            query_all(&*self.platform.health_data, Partition::User(user), Kind::Import, SortRange::all())
                .await?;
        for record in &imports {
            let import: Import = decode(record)?;
            for Attachment { name, object, .. } in import.attachments {
                self.hand_out_object(out, format!("attachments/{}/{name}", import.id), object).await?;
            }
        }
        Ok(())
    }

    /// Every photograph of the retina, and the map that was drawn over it.
    async fn hand_out_photographs(&self, user: UserId, out: &Out) -> std::result::Result<(), Halt> {
        let (store, partition) = (&*self.platform.health_data, Partition::User(user));
        for record in &query_all(store, partition, Kind::RetinaAnalysis, SortRange::all()).await? {
            let analysis: RetinaAnalysis = decode(record)?;
            let objects = [("photograph", Some(analysis.photograph)), ("map", analysis.map)];
            for (name, object) in objects.into_iter().filter_map(|(name, object)| Some((name, object?))) {
                self.hand_out_object(out, format!("retina/{}/{name}.png", analysis.id), object.object)
                    .await?;
            }
        }
        Ok(())
    }

    async fn hand_out_object(
        &self,
        out: &Out,
        name: String,
        object: String,
    ) -> std::result::Result<(), Halt> {
        let Some(found) = self.platform.objects.get(&ObjectKey::new(object)?, None).await? else {
            out.send(Piece::Missing(name)).await?;
            return Ok(());
        };
        out.file(name).await?;
        let mut body = found.body;
        while let Some(bytes) = body.next().await {
            out.send(Piece::Bytes(bytes?)).await?;
        }
        Ok(())
    }

    async fn compressed_raw(&self, user: UserId, upload: &Upload) -> Result<Option<Bytes>> {
        let Some(name) = &upload.raw.object else {
            let record = self.platform.health_data.get(&RecordKey::raw_body(user, upload.id)).await?;
            return Ok(record.map(|record| record.body));
        };
        match self.platform.objects.get(&ObjectKey::new(name.clone())?, None).await? {
            Some(object) => Ok(Some(objects::collect(object.body, RAW_BYTES_MAX).await?)),
            None => Ok(None),
        }
    }
}

fn decompress(compressed: &[u8]) -> io::Result<Bytes> {
    use io::Read;
    let mut body = Vec::new();
    let limit = RAW_BYTES_MAX as u64;
    zstd::Decoder::with_buffer(compressed)?.take(limit).read_to_end(&mut body)?;
    Ok(body.into())
}
