//! The column of ids.

use uuid::Uuid;

use super::{
    SegmentError,
    wire::{Reader, put_u64},
};
use crate::{ids::SampleId, sample::Sample};

const DERIVED: u8 = 0;
const RUNS: u8 = 1;
const EACH: u8 = 2;

const UUID_BYTES: usize = 16;

/// The version of a UUID over a content key. Others cannot be derived, and asking them first saves hashing the sample.
const CUSTOM_UUID_VERSION: usize = 8;

#[derive(PartialEq, Eq)]
pub(super) enum Ids {
    Derived,
    Given(Vec<SampleId>),
}

pub(super) fn put(out: &mut Vec<u8>, samples: &[Sample]) {
    if samples.iter().all(is_derived) {
        out.push(DERIVED);
        return;
    }
    let runs = samples.chunk_by(|one, next| one.id == next.id);
    let run_count = runs.clone().count();
    // A run takes its length beside its id.
    if run_count * (UUID_BYTES + 2) < samples.len() * UUID_BYTES {
        out.push(RUNS);
        put_u64(out, run_count as u64);
        for run in runs {
            out.extend_from_slice(run[0].id.0.as_bytes());
            put_u64(out, run.len() as u64);
        }
    } else {
        out.push(EACH);
        out.extend(samples.iter().flat_map(|sample| sample.id.0.into_bytes()));
    }
}

fn is_derived(sample: &Sample) -> bool {
    sample.id.0.get_version_num() == CUSTOM_UUID_VERSION && sample.id == sample.content_key().sample_id()
}

impl Ids {
    pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Self, SegmentError> {
        match reader.u8()? {
            DERIVED => Ok(Self::Derived),
            RUNS => read_runs(reader, count).map(Self::Given),
            EACH => {
                let bytes = reader.take(count * UUID_BYTES)?;
                let (ids, _) = bytes.as_chunks::<UUID_BYTES>();
                Ok(Self::Given(ids.iter().map(|id| SampleId(Uuid::from_bytes(*id))).collect()))
            }
            _ => Err(SegmentError::Malformed),
        }
    }

    /// The id at `at`, or nil where ids are derived.
    pub(super) fn given(&self, at: usize) -> SampleId {
        match self {
            Self::Given(ids) => ids[at],
            Self::Derived => SampleId(Uuid::nil()),
        }
    }
}

fn read_runs(reader: &mut Reader<'_>, count: usize) -> Result<Vec<SampleId>, SegmentError> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..reader.length()? {
        let id = SampleId(Uuid::from_bytes(reader.array()?));
        let length = reader.length()?;
        if length > count - ids.len() {
            return Err(SegmentError::Malformed);
        }
        ids.resize(ids.len() + length, id);
    }
    if ids.len() == count { Ok(ids) } else { Err(SegmentError::Malformed) }
}
