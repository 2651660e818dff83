//! The worker: leases jobs, keeps their leases, does their work, and acknowledges last.

mod seats;

use std::{sync::Arc, time::Duration};

use domain::{
    envelope::{Envelope, EnvelopeError, Work},
    job::JobEvent,
    record::RecordKey,
};
use ports::{Error, ErrorKind, Lease};
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::seats::{Seat, Seats};
use crate::{
    App,
    error::AppError,
    import::Failing,
    records::{Upload, encode, get, replace},
};

/// How long one call to the queue waits for a message, and so the longest that stopping waits for it.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);

/// The most messages that one call to the queue returns.
const RECEIVE_MAX: usize = 10;

/// How many dead letters one call to the queue lists.
const DEAD_LETTERS_PAGE: usize = 100;

impl App {
    /// Works until `stop`, then finishes the jobs in hand for at most `drain`; what is not done by then is released.
    pub async fn run_worker(self: &Arc<Self>, stop: CancellationToken, drain: Duration) {
        let mut jobs = JoinSet::new();
        let hand_back = CancellationToken::new();
        let seats = Seats::of(self.settings.worker_concurrency);
        while !stop.is_cancelled() {
            while jobs.try_join_next().is_some() {}
            let free = self.settings.worker_concurrency.saturating_sub(seats.taken(jobs.len()));
            if free == 0 {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = jobs.join_next() => continue,
                }
            }
            // Not dropped half-way when this stops: a lease that was granted and that nobody saw would hold its job back
            // until it ran out.
            match self.platform.jobs.receive(free.min(RECEIVE_MAX), RECEIVE_WAIT, self.settings.lease).await {
                Ok(leases) => {
                    for lease in leases {
                        let (app, hand_back) = (Arc::clone(self), hand_back.clone());
                        let seat = seats.seat(&lease, stop.clone());
                        jobs.spawn(async move { app.run_job(lease, seat, hand_back).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the queue could not be read; trying again");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(self.settings.retry_base) => {}
                    }
                }
            }
        }
        let drained = tokio::time::timeout(drain, async { while jobs.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            // Another worker takes them at once: nothing of theirs is half done.
            tracing::warn!(
                jobs = jobs.len(),
                "stopping before all jobs were done; they will be delivered again"
            );
            hand_back.cancel();
            while jobs.join_next().await.is_some() {}
        }
    }

    /// Does one job and says so to the queue.
    async fn run_job(self: Arc<Self>, lease: Lease, seat: Seat, hand_back: CancellationToken) {
        let started = std::time::Instant::now();
        let outcome = tokio::select! {
            outcome = self.attempt_seated(&lease, seat) => outcome,
            lost = self.keep_lease(&lease) => Err(Failure::Retry(lost)),
            () = hand_back.cancelled() => Err(Failure::HandBack),
        };
        let word = match &outcome {
            Ok(()) => "completed",
            Err(Failure::Retry(_)) => "retried",
            Err(Failure::HandBack) => "released",
            Err(Failure::GiveUp(_)) => "failed",
        };
        metrics::counter!("jobs_total", "outcome" => word).increment(1);
        metrics::histogram!("job_duration_seconds").record(started.elapsed().as_secs_f64());
        let told = match outcome {
            Ok(()) => self.platform.jobs.ack(&lease.receipt).await,
            Err(_) if self.is_of_erased(&lease.body).await => {
                self.scrub_later();
                self.platform.jobs.ack(&lease.receipt).await
            }
            Err(Failure::HandBack) => self.platform.jobs.release(&lease.receipt, Duration::ZERO).await,
            Err(Failure::Retry(error)) if lease.delivery_count < self.settings.deliveries_max => {
                tracing::warn!(error = %error, cause = ?cause(&error), delivery = lease.delivery_count, "a job will be tried again");
                self.platform.jobs.release(&lease.receipt, self.backoff(&lease)).await
            }
            Err(Failure::Retry(error)) => {
                self.give_up(&lease, &format!("{error}, {} times", lease.delivery_count)).await
            }
            Err(Failure::GiveUp(reason)) => self.give_up(&lease, &reason).await,
        };
        if let Err(error) = told {
            // The lease runs out; the work is idempotent.
            tracing::warn!(error = %error, "the queue did not take a job's outcome");
        }
    }

    async fn attempt_seated(self: &Arc<Self>, lease: &Lease, seat: Seat) -> Result<(), Failure> {
        let Some(_seat) = seat.take().await else { return Err(Failure::HandBack) };
        self.attempt_apart(lease).await
    }

    /// Attempts a job on a thread of its own: one that computes for seconds would keep this one from extending leases and from
    /// serving others. Dropped, it ends where it next waits for anything.
    async fn attempt_apart(self: &Arc<Self>, lease: &Lease) -> Result<(), Failure> {
        let (app, message) = (Arc::clone(self), lease.body.clone());
        let left = CancellationToken::new();
        let _leaves_when_dropped = left.clone().drop_guard();
        let attempt = tokio::task::spawn_blocking(move || {
            Handle::current().block_on(left.run_until_cancelled(app.attempt(&message)))
        });
        match attempt.await {
            Ok(outcome) => outcome.unwrap_or(Err(Failure::HandBack)),
            Err(panic) => {
                Err(Failure::Retry(Error::new(ErrorKind::Unexpected, "job.attempt").with_cause(panic)))
            }
        }
    }

    async fn attempt(&self, message: &[u8]) -> Result<(), Failure> {
        let envelope = Envelope::decode(message).map_err(|error| match error {
            // A newer build wrote it; while builds are being exchanged, one of its workers takes it.
            EnvelopeError::UnknownVersion(_) => {
                Failure::Retry(Error::new(ErrorKind::Unexpected, "job.envelope").with_cause(error))
            }
            EnvelopeError::Malformed(_) => Failure::GiveUp(error.to_string()),
        })?;
        let user = envelope.user_id;
        let done = match envelope.work {
            Work::ProcessUpload { upload_id } => self.process_upload(user, upload_id).await,
            Work::ProcessDeletion { upload_id } => self.process_deletion(user, upload_id).await,
            Work::AnswerRequest { request_id } => self.answer_request(user, request_id).await,
            Work::ComputeDays { part } => self.compute_due(user, part).await,
            Work::ForgetObjects { objects } => self.forget_objects(&objects).await,
            Work::ImportFile { import_id } => self.import_uploaded(user, import_id).await,
        };
        done.map_err(|error| match error {
            AppError::Port(error) if error.is_retryable() || error.kind() == ErrorKind::Conflict => {
                Failure::Retry(error)
            }
            // A fault nobody planned for may pass; the delivery limit ends it if it does not.
            AppError::Port(error) if error.kind() == ErrorKind::Unexpected => Failure::Retry(error),
            error => Failure::GiveUp(error.to_string()),
        })
    }

    /// Extends the lease until it cannot; answers why it could not.
    async fn keep_lease(&self, lease: &Lease) -> Error {
        loop {
            tokio::time::sleep(self.settings.heartbeat).await;
            match self.platform.jobs.extend(&lease.receipt, self.settings.lease).await {
                Ok(_) => {}
                // The lease still has two heartbeats to go.
                Err(error) if error.is_retryable() => {
                    tracing::warn!(error = %error, "a lease could not be extended");
                }
                Err(error) => return error,
            }
        }
    }

    /// Exponential, and spread by the message's id so that jobs that failed together do not come back together.
    fn backoff(&self, lease: &Lease) -> Duration {
        let doubled = self.settings.retry_base.saturating_mul(1 << lease.delivery_count.min(16));
        let spread =
            lease.id.0.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
                % 1000;
        let half = doubled.min(self.settings.retry_max) / 2;
        half + half * spread / 1000
    }

    /// Marks the upload failed and moves the message to the dead letters, with the reason in both.
    async fn give_up(&self, lease: &Lease, reason: &str) -> ports::Result<()> {
        tracing::error!(reason, delivery = lease.delivery_count, "a job was given up");
        self.mark_failed(&lease.body, reason, Failing::GivenUp).await?;
        self.platform.jobs.dead_letter(&lease.receipt, reason).await
    }

    /// Marks the uploads of dead letters failed. The queue buries a job whose workers all died without asking anybody, and
    /// a worker may die while it gives a job up: without this, such an upload would say for ever that it is in work.
    pub async fn settle_dead_letters(&self) -> ports::Result<()> {
        let mut cursor = None;
        loop {
            let page = self.platform.jobs.dead_letters(cursor.as_ref(), DEAD_LETTERS_PAGE).await?;
            for letter in &page.items {
                self.mark_failed(&letter.body, &letter.reason, Failing::Buried).await?;
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Marks the upload or request that a message is about failed, unless its job has ended already.
    async fn mark_failed(&self, message: &[u8], reason: &str, failing: Failing) -> ports::Result<()> {
        let Ok(Envelope { user_id, work, .. }) = Envelope::decode(message) else { return Ok(()) };
        let upload_id = match work {
            Work::ProcessUpload { upload_id } => upload_id,
            Work::AnswerRequest { request_id } => {
                return self.fail_request(user_id, request_id, reason).await;
            }
            Work::ImportFile { import_id } => {
                return self.fail_import(user_id, import_id, reason, failing).await;
            }
            Work::ProcessDeletion { .. } | Work::ComputeDays { .. } | Work::ForgetObjects { .. } => {
                return Ok(());
            }
        };
        let key = RecordKey::upload(user_id, upload_id);
        let stored = match get::<Upload>(&*self.platform.health_data, &key).await {
            Ok(Some(stored)) if !stored.body.state.is_terminal() => stored,
            Ok(_) => return Ok(()),
            // What does not decode has no state to change; its message is moved all the same.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(mut failed) = stored.body.after(JobEvent::GiveUp, self.platform.clock.now()) else {
            return Ok(());
        };
        failed.failure = Some(reason.to_owned());
        self.platform.health_data.commit(vec![replace(key, stored.version, encode(&failed)?)]).await
    }
}

fn cause(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

/// Why a job was not done.
enum Failure {
    /// Later may be better.
    Retry(Error),
    /// It never will be.
    GiveUp(String),
    /// This worker stops; another goes on.
    HandBack,
}
