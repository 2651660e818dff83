//! A group of batches in one transaction: read what their preconditions are about, decide in memory, write what changed.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, LazyLock},
};

use domain::record::{Partition, RecordKey};
use jiff::Timestamp;
use ports::{Change, ErrorKind, Precondition, Write};
use sqlx::{Arguments as _, Row, SqliteConnection};

use super::kind_name;
use crate::embedded::{statements::Rows, writer::Reply};

static READ: LazyLock<Rows> = LazyLock::new(|| {
    let row = |n: usize| format!("({n},?,?,?)");
    // CROSS JOIN keeps the order: one search of the index per key asked.
    Rows::new(
        "WITH asked (n, partition, kind, sort) AS (VALUES ",
        row,
        ") SELECT n, version, expires_at FROM asked CROSS JOIN records USING (partition, kind, sort)",
    )
});

static PUT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO records (partition, kind, sort, version, expires_at, body) VALUES ",
        |_| "(?,?,?,?,?,?)".to_owned(),
        " ON CONFLICT (partition, kind, sort) DO UPDATE
          SET version = excluded.version, expires_at = excluded.expires_at, body = excluded.body",
    )
});

static DELETE: LazyLock<Rows> = LazyLock::new(|| {
    // `(partition, kind, sort) IN (VALUES …)` would read the whole table.
    Rows::new(
        "WITH asked (partition, kind, sort) AS (VALUES ",
        |_| "(?,?,?)".to_owned(),
        ") DELETE FROM records WHERE rowid IN (
              SELECT records.rowid FROM asked CROSS JOIN records USING (partition, kind, sort)
          )",
    )
});

/// One batch that waits for the writer.
pub(in crate::embedded) struct CommitRequest {
    pub(in crate::embedded) batch: Vec<Write>,
    pub(in crate::embedded) size_bytes: usize,
    /// Seconds since the Unix epoch.
    pub(in crate::embedded) now: i64,
    pub(in crate::embedded) reply: Reply<()>,
}

/// A key of the group.
struct Slot {
    partition: Arc<str>,
    kind: &'static str,
    sort: Arc<str>,
    /// What is stored, as the batches so far left it.
    stored: Option<Stored>,
    /// What the batches so far did to it: the last change counts.
    change: Option<Change>,
    needs_reading: bool,
}

#[derive(Clone, Copy)]
struct Stored {
    version: u64,
    expires_at: Option<i64>,
}

impl Slot {
    fn satisfies(&self, precondition: Precondition, now: i64) -> bool {
        let version =
            self.stored.filter(|stored| stored.expires_at.is_none_or(|end| now < end)).map(|s| s.version);
        match precondition {
            Precondition::None => true,
            Precondition::Absent => version.is_none(),
            Precondition::VersionEquals(wanted) => version == Some(wanted.0),
            Precondition::VersionLess(bound) => version.is_none_or(|version| version < bound.0),
        }
    }

    fn change(&mut self, change: Change) {
        match &change {
            Change::Put(record) => {
                let expires_at = record.expires_at.map(Timestamp::as_second);
                self.stored = Some(Stored { version: record.version.0, expires_at });
            }
            Change::Delete(_) => self.stored = None,
            Change::Check(_) => return,
        }
        self.change = Some(change);
    }
}

/// Does what the batches ask, one after the other. A batch whose precondition fails is refused alone.
pub(in crate::embedded) async fn apply(
    connection: &mut SqliteConnection,
    requests: &mut [CommitRequest],
) -> sqlx::Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let (mut slots, slots_of) = slots(requests);
    read(connection, &mut slots).await?;
    for (request, indexes) in requests.iter_mut().zip(slots_of) {
        let batch = mem::take(&mut request.batch);
        let holds = |(write, slot): (&Write, &usize)| slots[*slot].satisfies(write.precondition, request.now);
        if !batch.iter().zip(&indexes).all(holds) {
            request.reply.refuse(ErrorKind::Conflict);
            continue;
        }
        for (write, slot) in batch.into_iter().zip(indexes) {
            slots[slot].change(write.change);
        }
        request.reply.set(Ok(()));
    }
    write(connection, slots).await
}

/// A slot for each key of the group, and for each request the slots of its writes.
fn slots(requests: &[CommitRequest]) -> (Vec<Slot>, Vec<Vec<usize>>) {
    let mut partitions: HashMap<Partition, Arc<str>> = HashMap::new();
    let mut by_key: HashMap<&RecordKey, usize> = HashMap::new();
    let mut slots: Vec<Slot> = Vec::new();
    let of_request = |request: &'_ CommitRequest| Vec::<usize>::with_capacity(request.batch.len());
    let mut slots_of: Vec<Vec<usize>> = requests.iter().map(of_request).collect();
    for (request, indexes) in requests.iter().zip(&mut slots_of) {
        for write in &request.batch {
            let key = write.change.key();
            let index = *by_key.entry(key).or_insert_with(|| {
                let name =
                    partitions.entry(key.partition).or_insert_with(|| key.partition.to_string().into());
                slots.push(Slot {
                    partition: Arc::clone(name),
                    kind: kind_name(key.kind),
                    sort: key.sort.as_str().into(),
                    stored: None,
                    change: None,
                    needs_reading: false,
                });
                slots.len() - 1
            });
            slots[index].needs_reading |= write.precondition != Precondition::None;
            indexes.push(index);
        }
    }
    (slots, slots_of)
}

async fn read(connection: &mut SqliteConnection, slots: &mut [Slot]) -> sqlx::Result<()> {
    let asked: Vec<usize> = (0..slots.len()).filter(|index| slots[*index].needs_reading).collect();
    let keys = asked.iter().map(|index| &slots[*index]);
    let rows = READ
        .run(connection, keys, |arguments, slot| {
            arguments.add(Arc::clone(&slot.partition))?;
            arguments.add(slot.kind)?;
            arguments.add(Arc::clone(&slot.sort))
        })
        .await?;
    for (start, row) in rows {
        let number: i64 = row.try_get(0)?;
        let version: i64 = row.try_get(1)?;
        let index = usize::try_from(number).ok().and_then(|number| asked.get(start + number)).copied();
        let index =
            index.ok_or_else(|| sqlx::Error::Decode("records: a row that was not asked for".into()))?;
        // A negative version was never written; as 0 it equals none.
        let version = u64::try_from(version).unwrap_or(0);
        slots[index].stored = Some(Stored { version, expires_at: row.try_get(2)? });
    }
    Ok(())
}

async fn write(connection: &mut SqliteConnection, slots: Vec<Slot>) -> sqlx::Result<()> {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for slot in slots {
        match slot.change {
            Some(Change::Put(record)) => puts.push((slot.partition, slot.kind, slot.sort, record)),
            Some(Change::Delete(_)) => deletes.push((slot.partition, slot.kind, slot.sort)),
            Some(Change::Check(_)) | None => {}
        }
    }
    PUT.run(connection, puts.into_iter(), |arguments, (partition, kind, sort, record)| {
        arguments.add(partition)?;
        arguments.add(kind)?;
        arguments.add(sort)?;
        arguments.add(i64::try_from(record.version.0)?)?;
        arguments.add(record.expires_at.map(Timestamp::as_second))?;
        arguments.add(Vec::from(record.body))
    })
    .await?;
    DELETE
        .run(connection, deletes.into_iter(), |arguments, (partition, kind, sort)| {
            arguments.add(partition)?;
            arguments.add(kind)?;
            arguments.add(sort)
        })
        .await?;
    Ok(())
}
