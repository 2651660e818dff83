//! Where the bytes of segments are, and how many segments of one day become one.
//!
//! A small segment is the body of its record. A large one is an object, and the record has a [`Reference`] to it: records cost
//! by the byte, and may be no larger than a few hundred kilobytes, while an object costs by the piece. Ids of readings cannot
//! be compressed, so it is they that make a segment large.

use std::cmp::Reverse;

use bytes::Bytes;
use domain::{
    envelope::{Envelope, Work},
    ids::UserId,
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange, hash_of},
    sample::Sample,
    segment::{self, Header, Reference},
};
use jiff::civil::Date;
use ports::{
    Change, Cursor, Error, ErrorKind, ObjectKey, ObjectStore, Outcome, Precondition, PutOptions, Query,
    Record, Sha256Digest, Write, objects,
};
use sha2::{Digest, Sha256};

use crate::{
    App, Platform,
    error::{AppError, Result},
    records::{Deleted, Timeline, corrupt, query_all},
    upload::write_bytes,
};

/// More readings than this are decoded and merged on a thread of their own, so that it does not hold up an event loop: each takes
/// some 0.2 us.
const INLINE_SAMPLES_MAX: usize = 2_000;

/// How many objects are read at once.
const OBJECTS_AT_ONCE: usize = 8;

/// How large the object of a segment may be: the most readings, and the most bytes of each.
const OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// No segment is smaller as a reference than this.
const REFERENCE_BYTES: usize = 256;

/// How often what was read is read again because segments were joined meanwhile.
const READS_MAX: usize = 4;

/// What the names of the objects of a user's segments begin with.
pub(crate) fn segment_prefix(user: UserId) -> String {
    format!("segments/{}/", hash_of("objects", user))
}

/// The numbered samples of one segment record.
pub(crate) struct Segment {
    pub record: Record,
    pub samples: Vec<(u64, Sample)>,
}

/// What a segment says about itself, wherever its bytes are.
pub(crate) fn header(record: &Record) -> ports::Result<Header> {
    let read = match Reference::decode(&record.body) {
        Ok(Some(reference)) => Ok(reference.header),
        Ok(None) => segment::header(&record.body),
        Err(error) => Err(error),
    };
    read.map_err(|error| corrupt(&record.key, &error))
}

/// The name of the object that holds a segment, where one does.
pub(crate) fn object_of(record: &Record) -> ports::Result<Option<String>> {
    let reference = Reference::decode(&record.body).map_err(|error| corrupt(&record.key, &error))?;
    Ok(reference.map(|reference| reference.object))
}

/// The bytes of a segment; `None` where its object is gone, because it was joined with others since its record was read.
async fn bytes(objects: &dyn ObjectStore, record: &Record) -> ports::Result<Option<Bytes>> {
    let reference = Reference::decode(&record.body).map_err(|error| corrupt(&record.key, &error))?;
    let Some(reference) = reference else { return Ok(Some(record.body.clone())) };
    let Some(object) = objects.get(&ObjectKey::new(reference.object)?, None).await? else { return Ok(None) };
    let bytes = objects::collect(object.body, OBJECT_BYTES_MAX).await?;
    if <[u8; 32]>::from(Sha256::digest(&bytes)) != reference.sha256 {
        return Err(corrupt(&record.key, &segment::SegmentError::Checksum));
    }
    Ok(Some(bytes))
}

/// Reads the segments of a range that are `wanted`.
pub(crate) async fn load(
    platform: &Platform,
    user: UserId,
    range: SortRange,
    wanted: impl Fn(&Record) -> ports::Result<bool> + Send + Sync,
) -> ports::Result<Vec<Segment>> {
    let store = &*platform.health_data;
    for _ in 0..READS_MAX {
        let mut records = Vec::new();
        for record in query_all(store, Partition::User(user), Kind::Segment, range.clone()).await? {
            if wanted(&record)? {
                records.push(record);
            }
        }
        if let Some(segments) = fetch(platform, records).await? {
            return Ok(segments);
        }
    }
    Err(gone())
}

/// Reads a page of segments.
pub(crate) async fn load_page(
    platform: &Platform,
    query: &Query,
) -> ports::Result<(Vec<Segment>, Option<Cursor>)> {
    for _ in 0..READS_MAX {
        let page = platform.health_data.query(query).await?;
        if let Some(segments) = fetch(platform, page.items).await? {
            return Ok((segments, page.next));
        }
    }
    Err(gone())
}

fn gone() -> Error {
    Error::new(ErrorKind::Corrupt, "segments.load").with_cause("an object that a segment names is not there")
}

/// `None` where an object is gone: it goes only after its record, so the records are others now.
async fn fetch(platform: &Platform, records: Vec<Record>) -> ports::Result<Option<Vec<Segment>>> {
    let mut bodies = Vec::with_capacity(records.len());
    for some in records.chunks(OBJECTS_AT_ONCE) {
        let read = some.iter().map(|record| bytes(&*platform.objects, record));
        bodies.extend(futures::future::try_join_all(read).await?);
    }
    match bodies.into_iter().collect::<Option<Vec<Bytes>>>() {
        Some(bodies) => decode(records, bodies).await.map(Some),
        None => Ok(None),
    }
}

async fn decode(records: Vec<Record>, bodies: Vec<Bytes>) -> ports::Result<Vec<Segment>> {
    // Equal readings take almost no bytes, so it is not those that count.
    let mut count = 0;
    for record in &records {
        count += header(record)?.count;
    }
    let work = move || records.into_iter().zip(bodies).map(|(record, body)| one(record, &body)).collect();
    apart(count, work).await
}

/// Does work with so many readings; where they are many, on a thread of its own.
pub(crate) async fn apart<T: Send + 'static>(
    count: usize,
    work: impl FnOnce() -> ports::Result<T> + Send + 'static,
) -> ports::Result<T> {
    if count <= INLINE_SAMPLES_MAX {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Unexpected, "segments.read").with_cause(error))?
}

fn one(record: Record, body: &[u8]) -> ports::Result<Segment> {
    let (_, _, sequence) =
        RecordKey::parse_segment(&record.key.sort).ok_or_else(|| corrupt(&record.key, &std::fmt::Error))?;
    let samples = segment::decode_numbered(body, sequence).map_err(|error| corrupt(&record.key, &error))?;
    Ok(Segment { record, samples })
}

impl App {
    /// The segments of one metric and UTC day.
    pub(crate) async fn segments_of(
        &self,
        user: UserId,
        metric: Metric,
        day: Date,
        wanted: impl Fn(&Record) -> ports::Result<bool> + Send + Sync,
    ) -> ports::Result<Vec<Segment>> {
        load(&self.platform, user, RecordKey::segments_between(metric, day, day), wanted).await
    }

    /// Puts the large ones of the segments that will be committed into objects, and of the others as many, from the largest, as the
    /// commit has no room for; answers the objects' names.
    pub(crate) async fn offload(&self, user: UserId, writes: &mut [Write]) -> Result<Vec<String>> {
        let limits = self.platform.health_data.limits();
        let mut total: usize = writes.iter().map(write_bytes).sum();
        let mut segments: Vec<&mut Record> = writes.iter_mut().filter_map(segment_of).collect();
        segments.sort_by_key(|record| Reverse(record.body.len()));
        let mut made = Vec::new();
        for record in segments {
            let size_bytes = record.body.len();
            let is_large = size_bytes > self.settings.segment_inline_bytes_max;
            if !is_large && (total <= limits.bytes_max || size_bytes <= REFERENCE_BYTES) {
                break;
            }
            match self.to_object(user, record).await {
                Ok(object) => made.push(object),
                Err(error) => {
                    self.forget_objects(&made).await?;
                    return Err(error);
                }
            }
            total -= size_bytes.saturating_sub(record.body.len());
        }
        Ok(made)
    }

    /// Puts a segment into an object, to which its record refers then; answers the object's name.
    async fn to_object(&self, user: UserId, record: &mut Record) -> Result<String> {
        if record.body.len() > OBJECT_BYTES_MAX {
            return Err(AppError::TooLarge { writes_max: self.platform.health_data.limits().writes_max });
        }
        let header = segment::header(&record.body).map_err(|error| corrupt(&record.key, &error))?;
        let object = format!("{}{}.segment", segment_prefix(user), self.platform.ids.next());
        let sha256: [u8; 32] = Sha256::digest(&record.body).into();
        let options = PutOptions {
            content_type: "application/octet-stream".to_owned(),
            sha256: Some(Sha256Digest(sha256)),
            ..PutOptions::default()
        };
        let key = ObjectKey::new(object.clone())?;
        self.platform.objects.put(&key, objects::once(record.body.clone()), options).await?;
        record.body = Reference { header, sha256, object: object.clone() }.encode().into();
        Ok(object)
    }

    /// Removes objects that no record names: of a commit that was not applied, or that a later one replaced.
    pub(crate) async fn forget_objects(&self, objects: &[String]) -> Result<()> {
        for object in objects {
            self.platform.objects.delete(&ObjectKey::new(object.clone())?).await?;
        }
        Ok(())
    }

    /// Removes the objects of a commit that failed, unless it may have been applied after all.
    pub(crate) async fn take_back(&self, objects: &[String], error: &Error) {
        if error.outcome() != Outcome::NotApplied {
            return;
        }
        if let Err(error) = self.forget_objects(objects).await {
            // They hold nothing that is not the user's own, and go with the user's prefix.
            tracing::warn!(%error, "objects of a commit that failed are left over");
        }
    }

    /// Joins segments of one metric and day into one where there are at least so many, leaving out single readings that were deleted.
    /// Whoever reads them meanwhile, in ascending order, sees each reading at least once: the joined segment takes the place of its newest part.
    ///
    /// Two that join the same segments at once cannot both succeed, and a deletion that comes between makes this fail: every
    /// part is replaced or deleted only as it was read.
    pub(crate) async fn join_segments(
        &self,
        user: UserId,
        (metric, day): (Metric, Date),
        segments_min: usize,
    ) -> Result<bool> {
        let store = &*self.platform.health_data;
        let range = RecordKey::segments_between(metric, day, day);
        let records = query_all(store, Partition::User(user), Kind::Segment, range).await?;
        if records.len() < segments_min {
            return Ok(false);
        }
        let mut sizes = Vec::with_capacity(records.len());
        for record in &records {
            sizes.push(header(record)?.count);
        }
        // The intent to remove old objects, and the fence, take a place in the commit too.
        let parts_max = store.limits().writes_max.saturating_sub(2);
        let count = parts_to_join(&sizes).min(parts_max);
        if count < 2 {
            return Ok(false);
        }
        let oldest = records[records.len() - count].key.sort.clone();
        let mut parts = self.segments_of(user, metric, day, |record| Ok(record.key.sort >= oldest)).await?;
        parts.truncate(count);
        let Some(newest) = parts.last().map(|part| part.record.key.clone()) else { return Ok(false) };
        let deleted = Deleted::read(store, user, &Timeline::read(store, user).await?).await?;

        let mut writes = Vec::with_capacity(count + 1);
        let mut replaced = Vec::new();
        let mut joined: Vec<(u64, Sample)> = Vec::new();
        let mut version = None;
        for Segment { record, samples } in parts {
            replaced.extend(object_of(&record)?);
            // What the phone deleted stays until its days are computed, and so that its line in an export is known for deleted.
            joined.extend(samples.into_iter().filter(|(_, sample)| !deleted.holds_reading(sample)));
            if record.key == newest {
                version = Some(record.version);
            } else {
                writes.push(Write::delete(record.key, Precondition::VersionEquals(record.version)));
            }
        }
        let Some(version) = version else { return Ok(false) };
        writes.push(rewritten(newest, version, joined)?);
        let made = match self.offload(user, &mut writes).await {
            // More than one object may be: they stay apart.
            Err(AppError::TooLarge { .. }) => return Ok(false),
            made => made?,
        };
        let mut intent = None;
        if !replaced.is_empty() {
            let work = Work::ForgetObjects { objects: replaced };
            let (key, write) = self.intend_envelope(Envelope::new(user, work))?;
            writes.push(write);
            intent = Some(key);
        }
        match store.commit(writes).await {
            Ok(()) => {
                if let Some(intent) = intent {
                    self.relay.nudge(intent);
                }
                Ok(true)
            }
            Err(error) => {
                self.take_back(&made, &error).await;
                match error.kind() {
                    // Somebody else joined them, or deleted some.
                    ErrorKind::Conflict => Ok(false),
                    _ => Err(error.into()),
                }
            }
        }
    }
}

fn segment_of(write: &mut Write) -> Option<&mut Record> {
    match &mut write.change {
        Change::Put(record) if record.key.kind == Kind::Segment => Some(record),
        _ => None,
    }
}

/// The write that leaves `samples` of the segment that was read in `version`; without any it goes.
pub(crate) fn rewritten(
    key: RecordKey,
    version: ports::Version,
    mut samples: Vec<(u64, Sample)>,
) -> Result<Write> {
    if samples.is_empty() {
        return Ok(Write::delete(key, Precondition::VersionEquals(version)));
    }
    samples.sort_by_key(|(sequence, sample)| (sample.interval.start_ms(), sample.id, *sequence));
    let (sequences, samples): (Vec<u64>, Vec<Sample>) = samples.into_iter().unzip();
    let body = segment::encode_joined(&samples, &sequences)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "segment.encode").with_cause(error))?;
    Ok(crate::records::replace(key, version, body.into()))
}

/// How many of the newest segments to join: an older one belongs to them unless it is larger than all newer ones together. So
/// a reading is rewritten only as often as what it lies in doubles.
fn parts_to_join(sizes: &[usize]) -> usize {
    let (mut count, mut total) = (0, 0);
    for size in sizes.iter().rev() {
        if count > 0 && *size > total.max(count) * 2 {
            break;
        }
        total += size;
        if total > segment::SAMPLES_MAX {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_joined_unless_it_is_larger_than_all_newer_ones() {
        assert_eq!(parts_to_join(&[1; 24]), 24);
        assert_eq!(parts_to_join(&[24, 1, 1, 1]), 3);
        assert_eq!(parts_to_join(&[24, 4, 4, 4]), 4);
        assert_eq!(parts_to_join(&[100, 1]), 1);
        assert_eq!(parts_to_join(&[segment::SAMPLES_MAX, segment::SAMPLES_MAX / 2]), 1);
    }
}
