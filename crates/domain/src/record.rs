//! The record kinds and the keys they are stored under. **Every key of a stored record is built here and nowhere else**, so
//! what is written under one key is read under the same.

use std::fmt;

use jiff::civil::Date;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use uuid::Uuid;

use crate::{
    ids::{
        AnalysisId, AuditId, ConsentId, EventId, ImportId, InsightId, RequestId, SessionId, UploadId, UserId,
    },
    metric::Metric,
};

/// How many shards the outbox has. A relay sweeps all of them; more shards spread writes over more database partitions.
pub const OUTBOX_SHARDS: u8 = 8;

/// The longest sort key, in bytes; DynamoDB allows 1024 for ours and its index's together.
pub const SORT_KEY_BYTES_MAX: usize = 512;

/// What a set of records belongs to. Writes to several partitions can be in one commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Partition {
    /// Everything of one user.
    User(UserId),
    /// Intents to publish, by shard.
    Outbox(u8),
    /// Links (issuer, subject) -> user.
    IdentityLinks,
    /// Users who are erased or are being erased.
    Erasures,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user/{user}"),
            Self::Outbox(shard) => write!(f, "system/outbox/{shard:02}"),
            Self::IdentityLinks => f.write_str("system/identity-links"),
            Self::Erasures => f.write_str("system/erasures"),
        }
    }
}

/// A stored partition name that this build does not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the name of a partition")]
pub struct UnknownPartition;

impl std::str::FromStr for Partition {
    type Err = UnknownPartition;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(user) = name.strip_prefix("user/") {
            return user.parse().map(Self::User).or(Err(UnknownPartition));
        }
        if let Some(shard) = name.strip_prefix("system/outbox/") {
            return shard.parse().map(Self::Outbox).or(Err(UnknownPartition));
        }
        match name {
            "system/identity-links" => Ok(Self::IdentityLinks),
            "system/erasures" => Ok(Self::Erasures),
            _ => Err(UnknownPartition),
        }
    }
}

/// What a record is. Sealed: adapters see names, only `app` knows the bodies.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Display, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// One per user: the upload sequence and which metrics are held for which days. Each upload's commit changes it
    /// under a precondition, which makes receipts exact and versions totally ordered.
    Timeline,
    /// Samples: one compressed block per (metric, UTC day, upload).
    Segment,
    /// Ids of samples that were deleted, one record per deletion.
    Tombstone,
    /// An upload: its receipt and its job's state.
    Upload,
    /// A file that is imported, and how far.
    Import,
    /// Days whose results are to be computed.
    DueDays,
    /// What a person prefers, such as whose readings win.
    Preferences,
    /// An upload's raw body where it is small enough to be stored with the upload.
    RawBody,
    /// One read or change of health data.
    Audit,
    /// Something a phone can see on its event stream.
    Event,
    /// One per user: the first and the latest event, which puts their commits into an order.
    EventHead,
    /// Aggregates of one local day.
    Daily,
    /// One night, by the local date of waking.
    Sleep,
    /// Circadian measures of the days that end with a date.
    Circadian,
    /// The PAT embedding of the seven days that end with a date.
    Embedding,
    /// An analysis that was asked for directly.
    Analysis,
    /// A stored insight.
    Insight,
    /// What was seen on a photograph of the retina; the photograph is an object.
    RetinaAnalysis,
    /// An analysis or insight that was asked for and is not made yet.
    Request,
    /// The reply to a request that named an `Idempotency-Key`, committed with the request's effect.
    Idempotency,
    /// A user's consent that a clinician sees their data; in the user's partition.
    Consent,
    /// The other half of a consent: a user who consented; in the clinician's partition.
    Patient,
    /// The intent to publish a job.
    Outbox,
    /// A file that is being imported and touched days that no job has yet; beside the intents of its user.
    Importing,
    /// A user who is being erased: goes when nothing of theirs is left.
    Erasing,
    /// That somebody was erased, and when: stays, and names nobody.
    Erasure,
    /// A link (issuer, subject) -> user; and its other half, in the user's partition.
    IdentityLink,
    /// A sign-in that has not ended, where the identity provider itself keeps no list of them.
    Session,
    /// One per user beside their sessions: whether they are barred, and when all sessions ended last.
    Standing,
}

/// The last part of a record's key; records of one kind are ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SortKey(String);

/// Why a text is not a sort key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a sort key is 1 to {SORT_KEY_BYTES_MAX} printable ASCII characters")]
pub struct InvalidSortKey;

impl SortKey {
    /// Checks `text`: 1 to 512 printable ASCII characters, which every store orders alike.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSortKey> {
        let text = text.into();
        let fits = !text.is_empty() && text.len() <= SORT_KEY_BYTES_MAX;
        if fits && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            Ok(Self(text))
        } else {
            Err(InvalidSortKey)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A half-open range of sort keys; an absent end is open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SortRange {
    /// The first key in the range.
    pub start: Option<SortKey>,
    /// The first key after the range.
    pub end: Option<SortKey>,
}

impl SortRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Keys in `[start, end)`.
    pub fn between(start: SortKey, end: SortKey) -> Self {
        Self { start: Some(start), end: Some(end) }
    }

    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: &SortKey) -> Self {
        // `~` is the last printable character, so `prefix` + DEL would be the end; the next prefix serves as well and
        // stays printable unless the prefix ends in `~`, which no builder here produces.
        let mut end = prefix.0.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self { start: Some(prefix.clone()), end: String::from_utf8(end).ok().map(SortKey) }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &SortKey) -> bool {
        self.start.as_ref().is_none_or(|start| start <= key) && self.end.as_ref().is_none_or(|end| key < end)
    }
}

/// Names one record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordKey {
    /// What it belongs to.
    pub partition: Partition,
    /// What it is.
    pub kind: Kind,
    /// Which one of its kind.
    pub sort: SortKey,
}

/// The sort key of a kind of which a partition has one record.
const SINGLE: &str = "-";

impl RecordKey {
    fn of(partition: Partition, kind: Kind, sort: String) -> Self {
        Self { partition, kind, sort: SortKey(sort) }
    }

    fn of_user(user: UserId, kind: Kind, sort: impl fmt::Display) -> Self {
        Self::of(Partition::User(user), kind, sort.to_string())
    }

    /// The user's timeline.
    pub fn timeline(user: UserId) -> Self {
        Self::of_user(user, Kind::Timeline, SINGLE)
    }

    /// The block of `metric` on `utc_day` that the user's upload number `sequence` brought.
    pub fn segment(user: UserId, metric: Metric, utc_day: Date, sequence: u64) -> Self {
        Self::of_user(user, Kind::Segment, format_args!("{}/{utc_day}/{sequence:016x}", metric.identifier()))
    }

    /// Tombstones that change number `sequence` of the user wrote; where they are too many for one record, `part` is the number
    /// of another.
    pub fn tombstone(user: UserId, sequence: u64, part: usize) -> Self {
        match part {
            0 => Self::of_user(user, Kind::Tombstone, format_args!("{sequence:016x}")),
            _ => Self::of_user(user, Kind::Tombstone, format_args!("{sequence:016x}/{part:04x}")),
        }
    }

    /// The range of all tombstones that change number `sequence` wrote.
    pub fn tombstones_of(sequence: u64) -> SortRange {
        SortRange::prefix(&SortKey(format!("{sequence:016x}")))
    }

    /// An upload.
    pub fn upload(user: UserId, upload: UploadId) -> Self {
        Self::of_user(user, Kind::Upload, upload)
    }

    /// An upload's raw body.
    pub fn raw_body(user: UserId, upload: UploadId) -> Self {
        Self::of_user(user, Kind::RawBody, upload)
    }

    /// A file that is imported.
    pub fn import(user: UserId, import: ImportId) -> Self {
        Self::of_user(user, Kind::Import, import)
    }

    /// What the user prefers.
    pub fn preferences(user: UserId) -> Self {
        Self::of_user(user, Kind::Preferences, SINGLE)
    }

    /// Days whose results are to be computed; `part` is new for each.
    pub fn due_days(user: UserId, part: Uuid) -> Self {
        Self::of_user(user, Kind::DueDays, part)
    }

    /// An audit entry.
    pub fn audit(user: UserId, audit: AuditId) -> Self {
        Self::of_user(user, Kind::Audit, audit)
    }

    /// An event.
    pub fn event(user: UserId, event: EventId) -> Self {
        Self::of_user(user, Kind::Event, event)
    }

    /// The user's latest event.
    pub fn event_head(user: UserId) -> Self {
        Self::of_user(user, Kind::EventHead, SINGLE)
    }

    /// A result of a local day: [`Kind::Daily`], [`Kind::Sleep`], [`Kind::Circadian`] or [`Kind::Embedding`].
    pub fn of_day(user: UserId, kind: Kind, day: Date) -> Self {
        Self::of_user(user, kind, day)
    }

    /// A direct analysis.
    pub fn analysis(user: UserId, analysis: AnalysisId) -> Self {
        Self::of_user(user, Kind::Analysis, analysis)
    }

    /// An analysis of a photograph of the retina.
    pub fn retina_analysis(user: UserId, analysis: AnalysisId) -> Self {
        Self::of_user(user, Kind::RetinaAnalysis, analysis)
    }

    /// An insight.
    pub fn insight(user: UserId, insight: InsightId) -> Self {
        Self::of_user(user, Kind::Insight, insight)
    }

    /// An analysis or insight that was asked for.
    pub fn request(user: UserId, request: RequestId) -> Self {
        Self::of_user(user, Kind::Request, request)
    }

    /// The reply to a request that named an `Idempotency-Key`. Keys are a client's own text, so they are stored as a hash.
    pub fn idempotency(user: UserId, key: &str) -> Self {
        use sha2::{Digest, Sha256};
        Self::of_user(user, Kind::Idempotency, hex::encode(Sha256::digest(key)))
    }

    /// A user's consent. Those to one clinician stand together: they are what is asked for.
    pub fn consent(user: UserId, clinician: UserId, consent: ConsentId) -> Self {
        Self::of_user(user, Kind::Consent, format_args!("{clinician}/{consent}"))
    }

    /// The range of a user's consents to `clinician`.
    pub fn consents_to(clinician: UserId) -> SortRange {
        SortRange::prefix(&SortKey(format!("{clinician}/")))
    }

    /// The other half of a consent, in the clinician's partition.
    pub fn patient(clinician: UserId, user: UserId, consent: ConsentId) -> Self {
        Self::of_user(clinician, Kind::Patient, format_args!("{user}/{consent}"))
    }

    /// The intent to publish a job, in the shard that its user's id picks. `intent` is new for each: an upload and its
    /// deletion are two intents.
    pub fn outbox(user: UserId, intent: Uuid) -> Self {
        let shard = user.0.as_bytes()[15] % OUTBOX_SHARDS;
        Self::of(Partition::Outbox(shard), Kind::Outbox, intent.to_string())
    }

    /// That an import touched days which no job has yet, in the shard of its user's intents.
    pub fn importing(user: UserId, import: ImportId) -> Self {
        let partition = Self::outbox(user, Uuid::nil()).partition;
        Self::of(partition, Kind::Importing, format!("{user}/{import}"))
    }

    /// The range of a user's entries of imports.
    pub fn importing_of(user: UserId) -> SortRange {
        SortRange::prefix(&SortKey(format!("{user}/")))
    }

    /// The user and the import of such an entry.
    pub fn parse_importing(sort: &SortKey) -> Option<(UserId, ImportId)> {
        let (user, import) = sort.as_str().split_once('/')?;
        Some((user.parse().ok()?, import.parse().ok()?))
    }

    /// The link of a provider's subject to a user. Subjects are a provider's own text, so they are stored as a hash.
    pub fn identity_link(issuer: &str, subject: &str) -> Self {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(issuer.as_bytes());
        hash.update([0]);
        hash.update(subject.as_bytes());
        Self::of(Partition::IdentityLinks, Kind::IdentityLink, hex::encode(hash.finalize()))
    }

    /// The other half of the link under `link`, in the partition of the user that it leads to: whether the link still holds,
    /// and which of its sessions have ended.
    pub fn linked_identity(user: UserId, link: &Self) -> Self {
        Self::of_user(user, Kind::IdentityLink, link.sort.as_str())
    }

    /// The link of which `linked` is the other half.
    pub fn link_of(linked: &Self) -> Self {
        Self::of(Partition::IdentityLinks, Kind::IdentityLink, linked.sort.as_str().to_owned())
    }

    /// A sign-in.
    pub fn session(user: UserId, session: SessionId) -> Self {
        Self::of_user(user, Kind::Session, session)
    }

    /// What counts for all sessions of a user.
    pub fn standing(user: UserId) -> Self {
        Self::of_user(user, Kind::Standing, SINGLE)
    }

    /// A user who is being erased.
    pub fn erasing(user: UserId) -> Self {
        Self::of(Partition::Erasures, Kind::Erasing, hash_of("erasure", user))
    }

    /// The mark of a user who is erased. It outlives them, so it does not hold their id: who has the id finds it.
    pub fn erasure(user: UserId) -> Self {
        Self::of(Partition::Erasures, Kind::Erasure, hash_of("erasure", user))
    }

    /// The range of segments of `metric` on the UTC days `[first, last]`.
    pub fn segments_between(metric: Metric, first: Date, last: Date) -> SortRange {
        let day = |date: Date| SortKey(format!("{}/{date}/", metric.identifier()));
        SortRange { start: Some(day(first)), end: SortRange::prefix(&day(last)).end }
    }

    /// The range of day records in `[first, last]`.
    pub fn days_between(first: Date, last: Date) -> SortRange {
        SortRange {
            start: Some(SortKey(first.to_string())),
            end: SortRange::prefix(&SortKey(last.to_string())).end,
        }
    }

    /// The parts of a segment's sort key: metric, UTC day, sequence.
    pub fn parse_segment(sort: &SortKey) -> Option<(Metric, Date, u64)> {
        let mut parts = sort.as_str().split('/');
        let metric = Metric::from_identifier(parts.next()?)?;
        let day = parts.next()?.parse().ok()?;
        let sequence = u64::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some((metric, day, sequence))
    }
}

/// Stands for a user where their id must not: in names that outlive them or that others log. Ids hold 74 random bits, so
/// nobody finds one by trying.
pub fn hash_of(purpose: &str, user: UserId) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(user.0.as_bytes());
    hex::encode(&digest.finalize()[..16])
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.partition, self.kind, self.sort.as_str())
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    const USER: UserId = UserId(Uuid::from_u128(7));

    #[test]
    fn partition_and_kind_names_read_back() {
        for partition in
            [Partition::User(USER), Partition::Outbox(3), Partition::IdentityLinks, Partition::Erasures]
        {
            assert_eq!(partition.to_string().parse(), Ok(partition));
        }
        for kind in Kind::iter() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("user/nobody".parse::<Partition>(), Err(UnknownPartition));
    }

    #[test]
    fn a_segment_key_reads_back_and_lies_in_its_days_range_only() {
        let day = Date::constant(2026, 3, 1);
        let heart_rate = Metric::from_identifier("HKQuantityTypeIdentifierHeartRate").unwrap();
        let key = RecordKey::segment(USER, heart_rate, day, 258);
        assert_eq!(RecordKey::parse_segment(&key.sort), Some((heart_rate, day, 258)));
        assert!(RecordKey::segments_between(heart_rate, day, day).contains(&key.sort));
        let next = day.tomorrow().unwrap();
        assert!(!RecordKey::segments_between(heart_rate, next, next).contains(&key.sort));
    }

    #[test]
    fn an_entry_of_an_import_reads_back_and_lies_in_its_users_range_only() {
        let import = ImportId(Uuid::from_u128(9));
        let key = RecordKey::importing(USER, import);
        assert_eq!(key.partition, RecordKey::outbox(USER, Uuid::nil()).partition);
        assert_eq!(RecordKey::parse_importing(&key.sort), Some((USER, import)));
        assert!(RecordKey::importing_of(USER).contains(&key.sort));
        assert!(!RecordKey::importing_of(UserId(Uuid::from_u128(8))).contains(&key.sort));
    }

    #[test]
    fn segment_keys_order_by_metric_then_day_then_sequence() {
        let metric = Metric::from_identifier("HKQuantityTypeIdentifierStepCount").unwrap();
        let key =
            |day, sequence| RecordKey::segment(USER, metric, Date::constant(2026, 3, day), sequence).sort;
        assert!(key(1, 255) < key(1, 256));
        assert!(key(1, u64::MAX) < key(2, 0));
    }

    #[test]
    fn sort_keys_that_stores_would_order_differently_are_refused() {
        for bad in ["", "é", "a\nb", &"x".repeat(513)] {
            assert_eq!(SortKey::new(bad), Err(InvalidSortKey));
        }
        assert!(SortKey::new("x".repeat(512)).is_ok());
    }

    #[test]
    fn a_link_key_does_not_confuse_issuer_and_subject() {
        assert_ne!(RecordKey::identity_link("a", "bc"), RecordKey::identity_link("ab", "c"));
    }

    #[test]
    fn each_half_of_a_link_leads_to_the_other() {
        let link = RecordKey::identity_link("https://issuer.example", "subject");
        let linked = RecordKey::linked_identity(USER, &link);
        assert_eq!((linked.partition, linked.kind), (Partition::User(USER), Kind::IdentityLink));
        assert_eq!(RecordKey::link_of(&linked), link);
    }
}
