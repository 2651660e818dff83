//! Several uploads in one request. Each record is kept or refused on its own, in a commit of its own.

use bytes::Bytes;
use domain::ids::{UploadId, UserId};
use ports::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::Caller,
    error::{AppError, Result},
    idempotency::{Once, Outcome, Reply},
    ingest::{BodyError, Rejection, batch_records},
    records::{Upload, UploadKind},
};

/// The most records that one batch holds.
pub const RECORDS_MAX: usize = 100;

/// What became of the records of a batch.
#[derive(Default)]
pub struct Batch {
    /// The uploads of the records that were kept, in the batch's order.
    pub uploads: Vec<UploadId>,
    /// How many records were not kept.
    pub failed: usize,
    /// What is wrong, also within records that were kept in part.
    pub faults: Vec<BodyError>,
}

/// What became of one record.
#[derive(Serialize, Deserialize)]
struct Part {
    id: UploadId,
    is_kept: bool,
    /// Pointers into the record, and what is wrong there.
    faults: Vec<(String, String)>,
}

impl From<&Upload> for Part {
    fn from(upload: &Upload) -> Self {
        let receipts = &upload.receipts;
        let fault = |rejection: &Rejection| (rejection.pointer.clone(), rejection.message.clone());
        Self {
            id: upload.id,
            is_kept: receipts.accepted + receipts.duplicate > 0,
            faults: receipts.rejected.iter().map(fault).collect(),
        }
    }
}

impl Batch {
    fn add(&mut self, index: usize, part: Part) {
        if part.is_kept {
            self.uploads.push(part.id);
        } else {
            self.failed += 1;
        }
        self.faults
            .extend(part.faults.into_iter().map(|(pointer, message)| of_record(index, &pointer, message)));
    }

    fn refuse(&mut self, index: usize, pointer: &str, message: impl Into<String>) {
        self.failed += 1;
        self.faults.push(of_record(index, pointer, message));
    }
}

fn of_record(index: usize, pointer: &str, message: impl Into<String>) -> BodyError {
    BodyError::new(&format!("/records/{index}{pointer}"), message)
}

impl App {
    /// Keeps the records of a batch. When this returns, those that it names as kept survive a crash. Where a store fails
    /// half way, what was kept until then stays, and is found to be known when the batch is sent again.
    pub async fn receive_batch(
        &self,
        caller: &Caller,
        body: Bytes,
        once: Option<&Once<'_, Batch>>,
    ) -> Result<Outcome<Batch>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let records = batch_records(&body, RECORDS_MAX)?;
        let is_foreign = |named: &String| named.parse::<UserId>().ok() != Some(caller.user_id);
        if records.iter().filter_map(|record| record.user_id.as_ref()).any(is_foreign) {
            return Err(AppError::ForeignUser);
        }
        let mut batch = Batch::default();
        for (index, record) in records.iter().enumerate() {
            let record = body.slice_ref(record.body.as_bytes());
            match self.receive_part(caller, index, record, once).await {
                Ok(part) => batch.add(index, part),
                Err(AppError::Body(fault)) => batch.refuse(index, &fault.pointer, fault.message),
                Err(AppError::TooLarge { .. }) => {
                    batch.refuse(index, "", "touches more days than one commit holds");
                }
                Err(error) => return Err(error),
            }
        }
        if batch.uploads.is_empty() {
            return Err(AppError::NothingKept(batch.faults));
        }
        if once.is_none() {
            return Ok(Outcome::Done(batch));
        }
        self.commit_once(Vec::new(), once, batch).await
    }

    /// Each record has a key of its own, so that a batch which is sent again after a crash goes on where it stopped.
    async fn receive_part(
        &self,
        caller: &Caller,
        index: usize,
        record: Bytes,
        once: Option<&Once<'_, Batch>>,
    ) -> Result<Part> {
        let token = once.map(|once| once.token.part(caller.user_id, index));
        let reply = |upload: &Upload| Reply::json(201, &Part::from(upload));
        let once = token.as_ref().map(|token| Once { token, reply: &reply });
        match self.receive_once(caller, UploadKind::BatchRecord, record, once.as_ref()).await? {
            Outcome::Done(upload) => Ok(Part::from(&upload)),
            Outcome::Replayed(reply) => Ok(serde_json::from_str(&reply.body)
                .map_err(|_hidden| Error::new(ErrorKind::Corrupt, "batch.replay"))?),
        }
    }
}
