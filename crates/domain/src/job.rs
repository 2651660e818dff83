//! The state machine of an upload's job. The status endpoint reads this, never invents it.

use serde::{Deserialize, Serialize};

/// Where an upload's job stands.
///
/// `received -> stored -> queued -> processing -> completed | failed`. `Received` is the state of a body that is still
/// being read: it is never stored, so no reader sees it.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, strum::Display, strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum JobState {
    /// The body is being read and checked.
    Received,
    /// The samples and the intent to process them are committed: this is what a 2xx promises.
    Stored,
    /// The intent has been handed to the job queue.
    Queued,
    /// A worker holds the job's lease.
    Processing,
    /// The results are committed.
    Completed,
    /// The job was given up, with a reason; an operator can send it back to the queue.
    Failed,
}

/// What happens to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, strum::EnumIter)]
pub enum JobEvent {
    /// The commit that acknowledges the upload.
    Commit,
    /// The relay published the job.
    Publish,
    /// A worker leased the job, for the first time or again after another worker died.
    Start,
    /// The results were committed.
    Complete,
    /// The last permitted delivery failed, or the failure cannot be retried.
    GiveUp,
}

/// An event that cannot happen in a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a {state} job cannot {event:?}")]
pub struct InvalidTransition {
    /// The job's state.
    pub state: JobState,
    /// What was asked of it.
    pub event: JobEvent,
}

impl JobState {
    /// The state after `event`.
    ///
    /// Deliveries repeat and overtake each other, so a worker may start a job whose `Queued` mark was not written yet,
    /// and a publication may be marked after a worker began: those transitions keep the later state.
    pub fn after(self, event: JobEvent) -> Result<Self, InvalidTransition> {
        use JobEvent as E;
        use JobState as S;
        match (self, event) {
            (S::Received, E::Commit) => Ok(S::Stored),
            (S::Stored | S::Queued, E::Publish) => Ok(S::Queued),
            (S::Processing | S::Completed | S::Failed, E::Publish) => Ok(self),
            // A dead letter that an operator sent back begins like any other delivery.
            (S::Stored | S::Queued | S::Processing | S::Failed, E::Start) => Ok(S::Processing),
            (S::Processing | S::Completed, E::Complete) => Ok(S::Completed),
            (S::Stored | S::Queued | S::Processing | S::Failed, E::GiveUp) => Ok(S::Failed),
            (state, event) => Err(InvalidTransition { state, event }),
        }
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The share of the way that is behind, 0 to 1, counted in states: the API's `progress`.
    pub const fn progress(self) -> f64 {
        match self {
            Self::Received => 0.0,
            Self::Stored => 0.25,
            Self::Queued => 0.5,
            Self::Processing => 0.75,
            Self::Completed | Self::Failed => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn the_way_of_one_upload_ends_completed() {
        let way = [JobEvent::Commit, JobEvent::Publish, JobEvent::Start, JobEvent::Complete];
        let end = way.into_iter().try_fold(JobState::Received, JobState::after);
        assert_eq!(end, Ok(JobState::Completed));
    }

    #[test]
    fn a_completed_job_never_goes_back() {
        for event in JobEvent::iter() {
            if let Ok(state) = JobState::Completed.after(event) {
                assert_eq!(state, JobState::Completed, "{event:?}");
            }
        }
    }

    #[test]
    fn nothing_but_another_attempt_lowers_progress() {
        for state in JobState::iter() {
            for event in
                JobEvent::iter().filter(|event| (state, *event) != (JobState::Failed, JobEvent::Start))
            {
                if let Ok(next) = state.after(event) {
                    assert!(next.progress() >= state.progress(), "{state} {event:?}");
                }
            }
        }
    }
}
