//! Who may work at once. A file takes minutes: one place is always left to other jobs, where there is more than one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use domain::envelope::{Envelope, Work};
use ports::Lease;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many files wait beside the jobs that are done, their leases kept. More of them take places, so that other workers get some.
const PARKED_MAX: usize = 4;

pub(super) struct Seats {
    files: Arc<Semaphore>,
    parked: Arc<AtomicUsize>,
}

impl Seats {
    pub(super) fn of(concurrency: usize) -> Self {
        let files = Arc::new(Semaphore::new(concurrency.saturating_sub(1).max(1)));
        Self { files, parked: Arc::default() }
    }

    /// How many places so many jobs take.
    pub(super) fn taken(&self, jobs: usize) -> usize {
        jobs.saturating_sub(self.parked.load(Ordering::SeqCst).min(PARKED_MAX))
    }

    /// The place of a job. Waiting for it is not a delivery: a message that went back to the queue would be given up one day.
    pub(super) fn seat(&self, lease: &Lease, stop: CancellationToken) -> Seat {
        let is_file = Envelope::decode(&lease.body)
            .is_ok_and(|envelope| matches!(envelope.work, Work::ImportFile { .. }));
        if !is_file {
            return Seat::Taken(None);
        }
        match Arc::clone(&self.files).try_acquire_owned() {
            Ok(permit) => Seat::Taken(Some(permit)),
            Err(_none_left) => {
                Seat::Awaited { files: Arc::clone(&self.files), parked: Parked::new(&self.parked), stop }
            }
        }
    }
}

/// A job's place.
pub(super) enum Seat {
    Taken(Option<OwnedSemaphorePermit>),
    Awaited { files: Arc<Semaphore>, parked: Parked, stop: CancellationToken },
}

impl Seat {
    /// Waits for it; `None` where the worker stops.
    pub(super) async fn take(self) -> Option<Option<OwnedSemaphorePermit>> {
        match self {
            Self::Taken(permit) => Some(permit),
            Self::Awaited { files, parked, stop } => {
                let permit = stop.run_until_cancelled(files.acquire_owned()).await?.ok()?;
                drop(parked);
                Some(Some(permit))
            }
        }
    }
}

/// Counts as parked while it lives.
pub(super) struct Parked(Arc<AtomicUsize>);

impl Parked {
    fn new(parked: &Arc<AtomicUsize>) -> Self {
        parked.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(parked))
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::ids::{ImportId, UploadId, UserId};
    use jiff::Timestamp;
    use ports::{MessageId, Receipt};
    use uuid::Uuid;

    use super::*;

    fn lease(work: Work) -> Lease {
        let body = Envelope::new(UserId(Uuid::nil()), work).encode().unwrap();
        Lease {
            id: MessageId("1".to_owned()),
            receipt: Receipt("1".to_owned()),
            body: Bytes::from(body),
            ordering_key: None,
            delivery_count: 1,
            published_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn files_leave_a_place_to_other_jobs() {
        let (seats, stop) = (Seats::of(2), CancellationToken::new());
        let file = lease(Work::ImportFile { import_id: ImportId(Uuid::nil()) });
        let other = lease(Work::ProcessUpload { upload_id: UploadId(Uuid::nil()) });
        let first = seats.seat(&file, stop.clone()).take().await.unwrap();
        assert!(first.is_some());
        let second = seats.seat(&file, stop.clone());
        assert!(matches!(second, Seat::Awaited { .. }));
        assert_eq!(seats.taken(2), 1, "one is free for the next job");
        assert!(seats.seat(&other, stop.clone()).take().await.is_some());
        drop(first);
        assert!(second.take().await.unwrap().is_some());
        assert_eq!(seats.taken(1), 1);
    }

    #[tokio::test]
    async fn a_file_that_waits_is_handed_back_when_the_worker_stops() {
        let (seats, stop) = (Seats::of(1), CancellationToken::new());
        let file = lease(Work::ImportFile { import_id: ImportId(Uuid::nil()) });
        let _first = seats.seat(&file, stop.clone()).take().await;
        let second = seats.seat(&file, stop.clone());
        stop.cancel();
        assert!(second.take().await.is_none());
    }
}
