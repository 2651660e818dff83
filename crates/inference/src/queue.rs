//! A bounded queue before the threads that run one model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use ports::{Cause, Tensor};
use tokio::sync::oneshot;

use crate::session::Runner;

type Answer = Result<Vec<Tensor>, Cause>;

struct Job {
    inputs: Vec<Tensor>,
    queued: Instant,
    answer: oneshot::Sender<Answer>,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the queue is full")]
    Full,
    #[error("the model's threads have ended")]
    Ended,
}

/// Threads that own a runner each and share a queue. They end when it is dropped.
pub(crate) struct Queue {
    sender: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    executions: Arc<AtomicU64>,
}

impl Queue {
    pub(crate) fn start<R: Runner>(model: &str, runners: Vec<R>, depth: usize) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(depth);
        let mut queue = Self { sender: Some(sender), threads: Vec::new(), executions: Arc::default() };
        let receiver = Arc::new(Mutex::new(receiver));
        for runner in runners {
            let worker = Worker {
                model: model.to_owned(),
                runner,
                receiver: Arc::clone(&receiver),
                executions: Arc::clone(&queue.executions),
            };
            let thread =
                std::thread::Builder::new().name(format!("infer-{model}")).spawn(|| worker.work())?;
            queue.threads.push(thread);
        }
        Ok(queue)
    }

    /// Puts a request in the queue or refuses it at once. Dropping the receiver takes it out again.
    pub(crate) fn submit(&self, inputs: Vec<Tensor>) -> Result<oneshot::Receiver<Answer>, Refused> {
        let (answer, receiver) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(Refused::Ended)?;
        match sender.try_send(Job { inputs, queued: Instant::now(), answer }) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(Refused::Full),
            Err(TrySendError::Disconnected(_)) => Err(Refused::Ended),
        }
    }

    /// How often a runner was run.
    pub(crate) fn executions(&self) -> u64 {
        self.executions.load(Ordering::Relaxed)
    }
}

impl Drop for Queue {
    /// Waits for at most the inference that each thread is in: nobody waits for the others any more, so they are skipped.
    /// Without this the process could unload the library under a running thread.
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an inference thread had panicked");
            }
        }
    }
}

struct Worker<R> {
    model: String,
    runner: R,
    receiver: Arc<Mutex<Receiver<Job>>>,
    executions: Arc<AtomicU64>,
}

impl<R: Runner> Worker<R> {
    fn work(mut self) {
        while let Some(job) = self.next() {
            if job.answer.is_closed() {
                continue;
            }
            let started = Instant::now();
            metrics::histogram!("inference_queue_seconds", "model" => self.model.clone())
                .record(started.duration_since(job.queued));
            self.executions.fetch_add(1, Ordering::Relaxed);
            let answer = self.runner.run(job.inputs);
            metrics::histogram!("inference_compute_seconds", "model" => self.model.clone())
                .record(started.elapsed());
            if job.answer.send(answer).is_err() {
                tracing::debug!(model = self.model, "the client left during the inference");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        // One thread waits in `recv`, the others for it: the lock is never held while a model runs.
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says when it starts, and ends when it is told to: no test here depends on how fast anything is.
    struct Gate {
        started: Sender<()>,
        open: Receiver<()>,
    }

    impl Runner for Gate {
        fn run(&mut self, inputs: Vec<Tensor>) -> Answer {
            self.started.send(()).unwrap();
            self.open.recv().unwrap();
            Ok(inputs)
        }
    }

    fn gated(depth: usize) -> (Queue, Receiver<()>, Sender<()>) {
        let ((started, has_started), (opener, open)) = (channel(), channel());
        let queue = Queue::start("gate", vec![Gate { started, open }], depth).unwrap();
        (queue, has_started, opener)
    }

    fn row(value: f32) -> Vec<Tensor> {
        vec![Tensor { name: "x".to_owned(), shape: vec![1, 1], data: vec![value] }]
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_takes_again_when_there_is_room() {
        let (queue, started, open) = gated(1);
        let running = queue.submit(row(1.0)).unwrap();
        started.recv().unwrap();
        let waiting = queue.submit(row(2.0)).unwrap();
        assert!(matches!(queue.submit(row(3.0)), Err(Refused::Full)));
        open.send(()).unwrap();
        assert_eq!(running.blocking_recv().unwrap().unwrap(), row(1.0));
        started.recv().unwrap();
        let later = queue.submit(row(4.0)).unwrap();
        for answer in [waiting, later] {
            open.send(()).unwrap();
            answer.blocking_recv().unwrap().unwrap();
        }
        assert_eq!(queue.executions(), 3);
    }

    #[test]
    fn a_client_that_left_the_queue_costs_no_inference() {
        let (queue, started, open) = gated(2);
        let running = queue.submit(row(1.0)).unwrap();
        started.recv().unwrap();
        drop(queue.submit(row(2.0)).unwrap());
        let last = queue.submit(row(3.0)).unwrap();
        // Enough for all three, so that an inference too many is counted and does not hang.
        (0..3).for_each(|_| open.send(()).unwrap());
        running.blocking_recv().unwrap().unwrap();
        assert_eq!(last.blocking_recv().unwrap().unwrap(), row(3.0));
        assert_eq!(queue.executions(), 2);
    }

    #[test]
    fn every_runner_works_at_the_same_time() {
        let ((started, has_started), (open_one, one), (open_two, two)) = (channel(), channel(), channel());
        let gates = vec![Gate { started: started.clone(), open: one }, Gate { started, open: two }];
        let queue = Queue::start("gate", gates, 2).unwrap();
        let answers = [queue.submit(row(1.0)).unwrap(), queue.submit(row(2.0)).unwrap()];
        // Both have started, and neither was let go.
        has_started.recv().unwrap();
        has_started.recv().unwrap();
        open_one.send(()).unwrap();
        open_two.send(()).unwrap();
        for answer in answers {
            answer.blocking_recv().unwrap().unwrap();
        }
    }

    #[test]
    fn the_threads_end_when_the_queue_is_dropped() {
        let (queue, started, _open) = gated(1);
        drop(queue);
        // Its sender lived in the thread.
        assert!(started.recv().is_err());
    }

    struct Panics;

    impl Runner for Panics {
        fn run(&mut self, _: Vec<Tensor>) -> Answer {
            panic!("a bug")
        }
    }

    #[test]
    fn after_a_panic_requests_are_refused_and_nobody_waits_for_ever() {
        let queue = Queue::start("panics", vec![Panics], 1).unwrap();
        assert!(queue.submit(row(1.0)).unwrap().blocking_recv().is_err());
        queue.threads.iter().for_each(|thread| {
            while !thread.is_finished() {
                std::thread::yield_now();
            }
        });
        assert!(matches!(queue.submit(row(2.0)), Err(Refused::Ended)));
    }
}
