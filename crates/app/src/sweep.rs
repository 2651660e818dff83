//! Objects that no record names, of a commit that a crash came before; and announced files whose time is over.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    ids::UserId,
    record::{Kind, Partition, SortRange},
};
use jiff::Timestamp;
use ports::{ErrorKind, ObjectKey, Query};
use uuid::Uuid;

use crate::{
    App,
    error::Result,
    import::{Import, attachment_prefix},
    records::{Upload, decode},
    segments::{object_of, segment_prefix},
    upload::raw_prefix,
};

const PAGE: usize = 100;

impl App {
    /// Removes the objects that are older than this, a day at least, and that no record names; answers how many. An object is
    /// named by the commit that it was made for or never, so one that is older than any commit takes is nobody's.
    ///
    /// Announced files whose time is over are settled first: imported where they were put, let go where not.
    ///
    /// Of each user who has old objects all records of readings are read: this is for now and then.
    pub async fn sweep_objects(&self, older_than: Duration) -> Result<usize> {
        let age = older_than.max(Duration::from_hours(24));
        let before = self.platform.clock.now().saturating_sub(age).unwrap_or(Timestamp::MIN);
        let (mut cursor, mut removed) = (None, 0);
        loop {
            let page = self.platform.health_data.partitions(cursor.as_ref(), PAGE).await?;
            for user in page.items {
                removed += self.sweep_segments(user, before).await? + self.sweep_files(user, before).await?;
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(removed),
            }
        }
    }

    async fn sweep_segments(&self, user: UserId, before: Timestamp) -> Result<usize> {
        let mut old = self.objects(&segment_prefix(user), |name| is_before(name, before)).await?;
        if old.is_empty() {
            return Ok(0);
        }
        self.each_record(user, Kind::Segment, |record| {
            if let Some(object) = object_of(record)? {
                old.remove(&object);
            }
            Ok(())
        })
        .await?;
        self.remove_all(old).await
    }

    async fn sweep_files(&self, user: UserId, before: Timestamp) -> Result<usize> {
        let (now, mut late) = (self.platform.clock.now(), Vec::new());
        let mut old = self.objects(&raw_prefix(user), |name| is_before(name, before)).await?;
        let has_old = !old.is_empty();
        // Their names are hashes: how old they are is told by their import.
        old.append(&mut self.objects(&attachment_prefix(user, None), |_| true).await?);
        self.each_record(user, Kind::Import, |record| {
            let import: Import = decode(record)?;
            for object in import.objects() {
                old.remove(object);
            }
            if import.updated_at >= before {
                let its_own = attachment_prefix(user, Some(import.id));
                old.retain(|object| !object.starts_with(&its_own));
            }
            if import.is_late(now) {
                late.push((import, record.version));
            }
            Ok(())
        })
        .await?;
        if has_old {
            self.each_record(user, Kind::Upload, |record| {
                if let Some(object) = decode::<Upload>(record)?.raw.object {
                    old.remove(&object);
                }
                Ok(())
            })
            .await?;
        }
        for (import, version) in late {
            let writes = self.settle_late(user, import, version).await?;
            match self.platform.health_data.commit(writes).await {
                // It was started meanwhile.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                committed => committed?,
            }
        }
        self.remove_all(old).await
    }

    async fn objects(
        &self,
        prefix: &str,
        is_wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<BTreeSet<String>> {
        let (mut cursor, mut wanted) = (None, BTreeSet::new());
        loop {
            let page = self.platform.objects.list(prefix, cursor.as_ref(), PAGE).await?;
            let names = page.items.into_iter().map(|object| object.key.as_str().to_owned());
            wanted.extend(names.filter(|name| is_wanted(name)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(wanted),
            }
        }
    }

    async fn each_record(
        &self,
        user: UserId,
        kind: Kind,
        mut each: impl FnMut(&ports::Record) -> ports::Result<()> + Send,
    ) -> Result<()> {
        let mut query = Query::new(Partition::User(user), kind, SortRange::all());
        query.limit = PAGE;
        loop {
            let page = self.platform.health_data.query(&query).await?;
            page.items.iter().try_for_each(&mut each)?;
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn remove_all(&self, objects: BTreeSet<String>) -> Result<usize> {
        for object in &objects {
            self.platform.objects.delete(&ObjectKey::new(object.clone())?).await?;
        }
        Ok(objects.len())
    }
}

/// Whether the name of an object says that it was made before an instant.
fn is_before(name: &str, before: Timestamp) -> bool {
    made_at(name).is_some_and(|at| at < before)
}

/// When an object was made: ids hold the time.
fn made_at(name: &str) -> Option<Timestamp> {
    let file = name.rsplit('/').next()?;
    let id: Uuid = file.split('.').next()?.parse().ok()?;
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, nanoseconds.cast_signed()).ok()
}
