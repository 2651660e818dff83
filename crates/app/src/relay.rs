//! From the outbox to the queue. The intent was committed with the upload, so a crash at any point between the two only
//! delays the job: the sweep finds what a nudge did not.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{
    envelope::Work,
    job::JobEvent,
    record::{Kind, OUTBOX_SHARDS, Partition, RecordKey, SortRange},
};
use futures::{StreamExt, stream};
use ports::{Error, ErrorKind, NewMessage, Precondition, Query, Record, Write};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    App,
    error::Result,
    records::{Intent, Upload, decode, encode, get, replace},
};

/// How many nudges can wait. When there are more, the sweep finds the rest.
const NUDGES_MAX: usize = 4096;

/// How many intents are relayed at once.
const CONCURRENCY: usize = 64;

/// Tells this process's relay of an intent that was just committed.
pub(crate) struct Relay {
    nudges: mpsc::Sender<RecordKey>,
    waiting: Mutex<Option<mpsc::Receiver<RecordKey>>>,
}

impl Relay {
    pub(crate) fn new() -> Self {
        let (nudges, waiting) = mpsc::channel(NUDGES_MAX);
        Self { nudges, waiting: Mutex::new(Some(waiting)) }
    }

    /// The nudges, for the one relay of this process.
    fn take_waiting(&self) -> Option<mpsc::Receiver<RecordKey>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Never waits and never fails: the intent is in the store, where the sweep finds it.
    pub(crate) fn nudge(&self, intent: RecordKey) {
        let _full_or_without_relay = self.nudges.try_send(intent);
    }
}

impl App {
    /// Relays intents until `stop`: those of this process at once, everybody's at each sweep.
    pub async fn run_relay(&self, stop: CancellationToken) {
        let Some(mut nudges) = self.relay.take_waiting() else { return };
        let mut sweep = tokio::time::interval(self.settings.relay_interval);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                count = nudges.recv_many(&mut batch, CONCURRENCY) => {
                    if count == 0 { return }
                    let keys = std::mem::take(&mut batch);
                    stream::iter(keys).for_each_concurrent(CONCURRENCY, |key| self.relay_nudged(key)).await;
                }
                _ = sweep.tick() => {
                    if let Err(error) = self.sweep_outbox().await {
                        tracing::warn!(error = %error, "the outbox could not be swept; trying again");
                    }
                }
            }
        }
    }

    async fn relay_nudged(&self, key: RecordKey) {
        let outcome = match self.platform.health_data.get(&key).await {
            Ok(Some(record)) => self.relay_one(&record).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %error, "an intent could not be relayed; the sweep will try again");
        }
    }

    /// Relays whatever waits in the outbox; answers how many intents were relayed. One that cannot be, such as one that a
    /// newer build wrote, does not hold up the others: it is logged, waits, and counts in the answer's error.
    pub async fn sweep_outbox(&self) -> Result<usize> {
        let (mut count, mut failure) = (0, None);
        for shard in 0..OUTBOX_SHARDS {
            let mut query = Query::new(Partition::Outbox(shard), Kind::Outbox, SortRange::all());
            query.limit = 256;
            loop {
                let page = self.platform.health_data.query(&query).await?;
                let mut outcomes = stream::iter(page.items)
                    .map(|record| async move { self.relay_one(&record).await })
                    .buffer_unordered(CONCURRENCY);
                while let Some(outcome) = outcomes.next().await {
                    match outcome {
                        Ok(()) => count += 1,
                        Err(error) => failure = Some(error),
                    }
                }
                drop(outcomes);
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
        }
        failure.map_or(Ok(count), Err)
    }

    /// Publishes, then forgets the intent. A crash between the two publishes again, which the dedup id and the
    /// idempotent worker make harmless.
    async fn relay_one(&self, record: &Record) -> Result<()> {
        let intent: Intent = decode(record)?;
        let envelope = &intent.envelope;
        // An intent is forgotten only after a message that holds it was published, never after an empty one.
        let body = envelope
            .encode()
            .map_err(|error| Error::new(ErrorKind::Unexpected, "relay.encode").with_cause(error))?;
        let message = NewMessage {
            body: body.into(),
            ordering_key: Some(envelope.ordering_key()),
            dedup_id: Some(record.key.sort.as_str().to_owned()),
            delay: Duration::ZERO,
        };
        self.platform.jobs.publish(message).await?;
        metrics::counter!("jobs_published_total").increment(1);
        let forget = Write::delete(record.key.clone(), Precondition::None);
        let Work::ProcessUpload { upload_id } = envelope.work else {
            return Ok(self.platform.health_data.commit(vec![forget]).await?);
        };
        let key = RecordKey::upload(envelope.user_id, upload_id);
        for _ in 0..self.settings.commit_attempts_max {
            let mut writes = vec![forget.clone()];
            if let Some(stored) = get::<Upload>(&*self.platform.health_data, &key).await? {
                let queued = stored.body.after(JobEvent::Publish, self.platform.clock.now());
                if let Some(queued) = queued.filter(|queued| queued.state != stored.body.state) {
                    writes.push(replace(key.clone(), stored.version, encode(&queued)?));
                }
            }
            match self.platform.health_data.commit(writes).await {
                // A worker was quicker and changed the upload: look again.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return Ok(done?),
            }
        }
        Ok(self.platform.health_data.commit(vec![forget]).await?)
    }
}
