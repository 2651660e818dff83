//! Objects that no record names: of a commit that a crash came before, and announced files that nobody started in time.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    ids::UserId,
    record::{Kind, Partition, SortRange},
};
use jiff::Timestamp;
use ports::{ObjectKey, Query};
use uuid::Uuid;

use crate::{
    App,
    error::Result,
    import::{Import, file_prefix},
    records::decode,
    segments::{object_of, segment_prefix},
};

const PAGE: usize = 100;

impl App {
    /// Removes the objects that are older than this, a day at least, and that no record names; answers how many. An object is
    /// named by the commit that it was made for or never, so one that is older than any commit takes is nobody's.
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
        let mut old = self.objects_before(&segment_prefix(user), before).await?;
        self.each_record(user, Kind::Segment, !old.is_empty(), |record| {
            if let Some(object) = object_of(record)? {
                old.remove(&object);
            }
            Ok(())
        })
        .await?;
        self.remove_all(old).await
    }

    async fn sweep_files(&self, user: UserId, before: Timestamp) -> Result<usize> {
        let (mut old, now) =
            (self.objects_before(&file_prefix(user), before).await?, self.platform.clock.now());
        self.each_record(user, Kind::Import, !old.is_empty(), |record| {
            if let Some(object) = decode::<Import>(record)?.awaits(now) {
                old.remove(object);
            }
            Ok(())
        })
        .await?;
        self.remove_all(old).await
    }

    /// The objects whose names say that they were made before an instant.
    async fn objects_before(&self, prefix: &str, before: Timestamp) -> Result<BTreeSet<String>> {
        let (mut cursor, mut old) = (None, BTreeSet::new());
        loop {
            let page = self.platform.objects.list(prefix, cursor.as_ref(), PAGE).await?;
            let names = page.items.into_iter().map(|object| object.key.as_str().to_owned());
            old.extend(names.filter(|name| made_at(name).is_some_and(|at| at < before)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(old),
            }
        }
    }

    async fn each_record(
        &self,
        user: UserId,
        kind: Kind,
        is_wanted: bool,
        mut each: impl FnMut(&ports::Record) -> ports::Result<()> + Send,
    ) -> Result<()> {
        let mut query = Query::new(Partition::User(user), kind, SortRange::all());
        query.limit = PAGE;
        while is_wanted {
            let page = self.platform.health_data.query(&query).await?;
            page.items.iter().try_for_each(&mut each)?;
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    async fn remove_all(&self, objects: BTreeSet<String>) -> Result<usize> {
        for object in &objects {
            self.platform.objects.delete(&ObjectKey::new(object.clone())?).await?;
        }
        Ok(objects.len())
    }
}

/// When an object was made: ids hold the time.
fn made_at(name: &str) -> Option<Timestamp> {
    let file = name.rsplit('/').next()?;
    let id: Uuid = file.split('.').next()?.parse().ok()?;
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, nanoseconds.cast_signed()).ok()
}
