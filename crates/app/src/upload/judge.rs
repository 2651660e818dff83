//! What becomes of each sample in view of what is held.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use domain::{
    ids::SampleId,
    sample::{ContentKey, Sample},
};

use super::{Fate, Prepared};
use crate::{
    ingest::{Parsed, REJECTIONS_MAX, Rejection},
    records::{Deleted, ItemCounts, Receipts},
};

/// What the store holds already.
///
/// A reading's identity is (client id, start): a HealthKit sample never changes, and a HealthKit series is one id with
/// many points. What a reading says is told by the id that its content key makes: its derived id.
#[derive(Default)]
pub(super) struct Known {
    /// What those with an id of the phone's said so far.
    versions: HashMap<(SampleId, i64), Vec<SampleId>>,
    /// The same reading by its derived id, and which id it came with.
    content: HashMap<SampleId, SampleId>,
    /// By what an export tells: of readings with an id of the phone's, where lines of an export are to be judged.
    named: Option<HashSet<ContentKey>>,
    /// And of readings that may be lines of an export, with their starts, where others are to be judged.
    exported: Option<HashMap<ContentKey, (SampleId, i64)>>,
    /// What readings without an id of the phone's have as metadata: an export's line has beats that an upload lacks.
    metadata: HashMap<(SampleId, i64), Arc<str>>,
}

impl Known {
    /// For judging `members`.
    pub(super) fn for_members(prepared: &Prepared, members: &[usize]) -> Self {
        let is_line = |at: &usize| is_line(&prepared.parsed.samples[*at], prepared.derived[*at]);
        Self {
            content: HashMap::with_capacity(members.len()),
            named: members.iter().any(is_line).then(HashSet::new),
            exported: (!members.iter().all(is_line)).then(HashMap::new),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, sample: &Sample) {
        self.add_with(sample, sample.content_key().sample_id());
    }

    fn add_with(&mut self, sample: &Sample, derived: SampleId) {
        let identity = (sample.id, sample.interval.start_ms());
        let is_derived = sample.id == derived;
        if let Some(metadata) = sample.metadata.as_ref().filter(|_| is_derived) {
            self.metadata.insert(identity, Arc::clone(metadata));
        }
        if !is_line(sample, derived) {
            if let Some(named) = self.named.as_mut().filter(|_| !is_derived) {
                named.insert(sample.export_key());
            }
        } else if let Some(exported) = &mut self.exported {
            exported.insert(sample.export_key(), identity);
        }
        if !is_derived {
            self.versions.entry(identity).or_default().push(derived);
        }
        self.content.insert(derived, sample.id);
    }

    /// What becomes of a reading in view of these. A version that was seen before is known: a retry of an old upload never
    /// overwrites a newer value.
    fn judge(&self, sample: &Sample, derived: SampleId) -> Verdict {
        let start_ms = sample.interval.start_ms();
        let held = self.content.get(&derived);
        if sample.id == derived {
            // Whoever has an id says the same.
            let is_named = |named: &HashSet<ContentKey>| {
                !named.is_empty() && is_line(sample, derived) && named.contains(&sample.export_key())
            };
            let is_known = held.is_some() || self.named.as_ref().is_some_and(is_named);
            return if is_known { Verdict::Duplicate } else { Verdict::New };
        }
        if let Some(versions) = self.versions.get(&(sample.id, start_ms)) {
            return if versions.contains(&derived) { Verdict::Duplicate } else { Verdict::New };
        }
        match held {
            // One that came without an id is joined with one that has it; two ids of the phone's own are two readings.
            Some(held) if *held == sample.id => Verdict::Duplicate,
            // A line of an export stays where it is: whoever reads leaves it out beside a reading with an id.
            Some(held) if *held == derived && sample.may_be_exported() => Verdict::Joins(derived, start_ms),
            // From now on it goes by the phone's id, by which the phone may delete it.
            Some(held) if *held == derived => Verdict::Replaces(derived, start_ms),
            Some(_) | None => {
                let exported = self.exported.as_ref().filter(|exported| !exported.is_empty());
                match exported.and_then(|exported| exported.get(&sample.export_key())) {
                    Some((held, start_ms)) => Verdict::Joins(*held, *start_ms),
                    None => Verdict::New,
                }
            }
        }
    }
}

/// The metadata of a reading that came twice; where both say something, the later one counts.
fn joined(earlier: &str, later: Option<&str>) -> Arc<str> {
    use serde_json::{Map, Value};
    let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    let (Some(mut both), Some(later)) = (object(earlier), later.and_then(object)) else {
        return later.unwrap_or(earlier).into();
    };
    both.extend(later);
    Value::Object(both).to_string().into()
}

/// Whether a reading came without an id, as the lines of an export do, and tells no more than those.
fn is_line(sample: &Sample, derived: SampleId) -> bool {
    sample.id == derived && sample.may_be_exported()
}

/// What becomes of one reading.
enum Verdict {
    New,
    Duplicate,
    /// New under its own id, and held so far under this one, from this start on.
    Replaces(SampleId, i64),
    /// New under its own id, and held so far as this line of an export.
    Joins(SampleId, i64),
}

/// What becomes of each sample of a body, by its index.
pub(super) struct Verdicts<'a> {
    pub prepared: &'a Prepared,
    pub fates: Vec<Fate>,
    /// Ids that the same body deletes.
    deletions: HashSet<SampleId>,
    /// Readings that go by another id from now on.
    pub replaced: Vec<(SampleId, i64)>,
    /// The metadata of those, with what they had before.
    pub carried: HashMap<usize, Arc<str>>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(prepared: &'a Prepared) -> Self {
        Self {
            prepared,
            fates: vec![Fate::Duplicate; prepared.parsed.samples.len()],
            deletions: prepared.parsed.deleted.iter().copied().collect(),
            replaced: Vec::new(),
            carried: HashMap::new(),
        }
    }

    pub(super) fn judge(&mut self, members: &[usize], mut known: Known, deleted: &Deleted) {
        for at in members {
            let (sample, derived) = (&self.prepared.parsed.samples[*at], self.prepared.derived[*at]);
            if deleted.holds(sample) || self.deletions.contains(&sample.id) {
                self.fates[*at] = Fate::Deleted;
                continue;
            }
            let verdict = known.judge(sample, derived);
            match verdict {
                Verdict::Duplicate => continue,
                Verdict::Replaces(id, start_ms) | Verdict::Joins(id, start_ms) => {
                    if matches!(verdict, Verdict::Replaces(..)) {
                        self.replaced.push((id, start_ms));
                    }
                    if let Some(earlier) = known.metadata.get(&(id, start_ms)) {
                        self.carried.insert(*at, joined(earlier, sample.metadata.as_deref()));
                    }
                }
                Verdict::New => {}
            }
            known.add_with(sample, derived);
            self.fates[*at] = Fate::Accepted;
        }
    }

    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|of| **of == fate).count()
    }

    pub(super) fn receipts(&self, parsed: &Parsed) -> Receipts {
        let is_deleted = |at: &usize| self.fates[*at] == Fate::Deleted;
        let deleted = (0..self.fates.len()).filter(is_deleted).map(|at| Rejection {
            pointer: parsed.places[at].pointer(),
            id: Some(parsed.samples[at].id),
            code: "deleted".to_owned(),
            message: "the sample was deleted and does not come back".to_owned(),
        });
        Receipts {
            accepted: self.count(Fate::Accepted),
            duplicate: self.count(Fate::Duplicate),
            rejected_total: parsed.rejected_total + self.count(Fate::Deleted),
            rejected: parsed.rejected.iter().cloned().chain(deleted).take(REJECTIONS_MAX).collect(),
        }
    }

    /// An item with a new reading is accepted, one with known readings only a duplicate. The readings of an item stand together.
    pub(super) fn items(&self, parsed: &Parsed) -> ItemCounts {
        let (mut counts, mut at) =
            (ItemCounts { rejected: parsed.items_rejected, ..ItemCounts::default() }, 0);
        for item in parsed.places.chunk_by(PartialEq::eq) {
            let fates = &self.fates[at..at + item.len()];
            at += item.len();
            if fates.contains(&Fate::Accepted) {
                counts.accepted += 1;
            } else if fates.contains(&Fate::Deleted) {
                counts.rejected += 1;
            } else {
                counts.duplicate += 1;
            }
        }
        counts
    }
}
