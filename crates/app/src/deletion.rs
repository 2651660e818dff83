//! Deleting an upload: its samples, its raw body, and what was computed from them.

use domain::{envelope::Work, ids::UploadId, record::RecordKey};
use ports::{Error, ErrorKind, Precondition, Record, Write};

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    records::{Stored, Timeline, Tombstones, Upload, encode, get, replace},
    segments::{self, Segment},
};

impl App {
    /// Reads an upload of the caller's. A deleted one is as missing as a foreign one.
    pub async fn upload(&self, caller: &Caller, id: UploadId) -> Result<Upload> {
        self.platform.audit_read(caller, format!("upload/{id}")).await?;
        Ok(self.stored_upload(caller, id).await?.body)
    }

    async fn stored_upload(&self, caller: &Caller, id: UploadId) -> Result<Stored<Upload>> {
        let key = RecordKey::upload(caller.user_id, id);
        let stored = get::<Upload>(&*self.platform.health_data, &key).await?;
        stored.filter(|stored| stored.body.deleted_at.is_none()).ok_or(AppError::NotFound)
    }

    /// Deletes the samples of an upload. They do not come back, whoever sends them again.
    pub async fn delete_upload(&self, caller: &Caller, id: UploadId) -> Result<usize> {
        let _turn = self.turns.take(caller.user_id).await;
        for _ in 0..self.settings.commit_attempts_max {
            let stored = self.stored_upload(caller, id).await?;
            let (count, intent, mut writes) = self.plan_deletion(caller, stored).await?;
            let made = self.offload(caller.user_id, &mut writes).await?;
            if let Err(error) = self.fits(&writes, 0) {
                self.forget_objects(&made).await?;
                return Err(error);
            }
            match self.platform.health_data.commit(writes).await {
                Ok(()) => {
                    self.relay.nudge(intent);
                    return Ok(count);
                }
                Err(error) => {
                    self.take_back(&made, &error).await;
                    if error.kind() != ErrorKind::Conflict {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "upload.delete").into())
    }

    async fn plan_deletion(
        &self,
        caller: &Caller,
        stored: Stored<Upload>,
    ) -> Result<(usize, RecordKey, Vec<Write>)> {
        let (user, store, now) = (caller.user_id, &*self.platform.health_data, self.platform.clock.now());
        let Stored { body: mut upload, version } = stored;
        let mut timeline = Timeline::read(store, user).await?;
        timeline.sequence += 1;
        timeline.has_tombstones = true;
        let (mut readings, mut objects) = (Vec::new(), Vec::new());
        let mut writes = Vec::new();
        for (metric, day) in std::mem::take(&mut upload.segments) {
            // Joined with others, they lie in the one with the newest number.
            let first = RecordKey::segment(user, metric, day, upload.sequence).sort;
            let wanted = |record: &Record| Ok(record.key.sort >= first);
            for Segment { record, samples } in self.segments_of(user, metric, day, wanted).await? {
                let (own, others): (Vec<_>, Vec<_>) =
                    samples.into_iter().partition(|(sequence, _)| *sequence == upload.sequence);
                if own.is_empty() {
                    continue;
                }
                readings.extend(own.iter().map(|(_, sample)| (sample.id, sample.interval.start_ms())));
                objects.extend(segments::object_of(&record)?);
                writes.push(segments::rewritten(record.key, record.version, others)?);
            }
        }
        readings.sort_unstable();
        readings.dedup();
        let count = readings.len();
        upload.deleted_at = Some(now);
        upload.updated_at = now;
        let (intent, intent_write) = self.intend(caller, Work::ProcessDeletion { upload_id: upload.id })?;
        let tombstones = Tombstones { ids: Vec::new(), readings };
        writes.extend(tombstones.writes(user, timeline.sequence)?);
        writes.push(Write::delete(RecordKey::raw_body(user, upload.id), Precondition::None));
        writes.push(replace(RecordKey::upload(user, upload.id), version, encode(&upload)?));
        writes.push(timeline.write(user)?);
        writes.push(intent_write);
        if !objects.is_empty() {
            writes.push(self.intend(caller, Work::ForgetObjects { objects })?.1);
        }
        writes.push(self.platform.audit(caller, Action::Delete, format!("upload/{}", upload.id))?);
        Ok((count, intent, writes))
    }
}
