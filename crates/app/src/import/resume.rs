//! Imports that nobody goes on with: what they brought counts all the same.

use std::time::Duration;

use domain::{
    ids::{ImportId, UserId},
    record::{Kind, OUTBOX_SHARDS, Partition, RecordKey, SortRange},
};
use ports::ErrorKind;

use super::{Import, import_write, leave};
use crate::{
    App,
    error::Result,
    records::{get, query_all},
};

/// An import that stood still for so long is nobody's any more: whoever still reads it keeps a portion more often.
pub(super) const IDLE: Duration = Duration::from_hours(1);

impl App {
    /// Leaves to a job the days that imports touched whose reader died, or could not commit. Where a reader only slept, its next
    /// commit finds the import changed, and its file is sent again.
    pub async fn resume_imports(&self) -> Result<()> {
        let mut failure = None;
        for shard in 0..OUTBOX_SHARDS {
            let (store, shard) = (&*self.platform.health_data, Partition::Outbox(shard));
            for entry in query_all(store, shard, Kind::Importing, SortRange::all()).await? {
                let Some((user, id)) = RecordKey::parse_importing(&entry.key.sort) else { continue };
                if let Err(error) = self.resume_import(user, id).await {
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn resume_import(&self, user: UserId, id: ImportId) -> Result<()> {
        let stored = get::<Import>(&*self.platform.health_data, &RecordKey::import(user, id)).await?;
        let Some(stored) = stored else {
            return Ok(self.platform.health_data.commit(vec![leave(user, id)]).await?);
        };
        let (mut next, now) = (stored.body, self.platform.clock.now());
        if !next.is_idle(now) {
            return Ok(());
        }
        let mut writes = vec![leave(user, id)];
        let nudge = self.hand_over(user, &mut next, &mut writes)?;
        writes.push(import_write(user, Some(stored.version), &next)?);
        match self.platform.health_data.commit(writes).await {
            // Somebody goes on with it after all, or another process was first.
            Err(error) if error.kind() == ErrorKind::Conflict => return Ok(()),
            committed => committed?,
        }
        if let Some(intent) = nudge {
            self.relay.nudge(intent);
        }
        Ok(())
    }
}

impl Import {
    /// Whether nobody can be at it.
    pub(super) fn is_idle(&self, now: jiff::Timestamp) -> bool {
        let idle_ms = now.as_millisecond() - self.updated_at.as_millisecond();
        u128::try_from(idle_ms).is_ok_and(|idle_ms| idle_ms >= IDLE.as_millis())
    }
}
