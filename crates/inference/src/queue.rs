//! A bounded queue before the threads that run one version of a model.
//!
//! Requests wait in two lanes. Those that somebody waits for go first, but of every [`TURNS`] + 1 executions while jobs wait too,
//! one is theirs. Rows of requests with rows of the same shape and the same outputs are put together where the model's batching
//! says so; a request then waits for others for at most its delay, and fills what is left of an execution of the other lane.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ports::{Cause, Priority, Tensor};
use tokio::sync::oneshot;

use crate::batch;
use crate::counters::{Counters, Execution};
use crate::session::Runner;

pub(crate) type Answer = Result<Vec<Tensor>, Cause>;

/// Executions that may go before a job that waits.
const TURNS: u32 = 8;

/// What is asked: inputs that were checked, and which outputs, in the model's order.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) rows: usize,
    pub(crate) outputs: Arc<[String]>,
    pub(crate) priority: Priority,
}

struct Job {
    question: Question,
    queued: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Job {
    /// Whether both can be in one execution.
    fn goes_with(&self, other: &Self) -> bool {
        fn rows(job: &Job) -> impl Iterator<Item = Option<&[usize]>> {
            job.question.inputs.iter().map(|input| input.shape.get(1..))
        }
        self.question.outputs == other.question.outputs && rows(self).eq(rows(other))
    }
}

/// How much may wait, and how it is put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests that may wait.
    pub(crate) depth: usize,
    /// Rows that may wait.
    pub(crate) rows_waiting_max: usize,
    /// How long a request may have to wait, by what the rows before it will take.
    pub(crate) wait_max: Duration,
    /// Rows of an execution that requests share; 1 for none.
    pub(crate) batch_rows_max: usize,
    /// How long a request waits for others.
    pub(crate) delay: Duration,
}

/// Why a request was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the queue is full")]
    Full,
    #[error("the model's threads have ended")]
    Ended,
}

#[derive(Default)]
struct Lanes {
    interactive: VecDeque<Job>,
    batch: VecDeque<Job>,
    /// Rows in both.
    rows: usize,
    /// Executions since the batch lane had to wait.
    turns: u32,
    /// What a row took of late.
    row_time: Duration,
    threads: usize,
    is_closed: bool,
}

/// What a thread is to do.
enum Next {
    Run(Vec<Job>),
    WaitUntil(Instant),
    Wait,
    End,
}

impl Lanes {
    fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    /// Takes out those whose client left.
    fn prune(&mut self) {
        for lane in [&mut self.interactive, &mut self.batch] {
            lane.retain(|job| !job.answer.is_closed());
        }
        self.rows = self.interactive.iter().chain(&self.batch).map(|job| job.question.rows).sum();
    }

    /// What would pass its deadline in the queue is refused at once instead.
    fn has_room(&self, rows: usize, limits: &Limits) -> bool {
        self.len() < limits.depth
            && self.rows.saturating_add(rows) <= limits.rows_waiting_max
            && self.wait() <= limits.wait_max
    }

    /// How long the rows that wait will take, by those before them.
    fn wait(&self) -> Duration {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.row_time.saturating_mul(count(self.rows)) / count(self.threads).max(1)
    }

    /// Learns what a row took: an eighth of the newest, so that one that was held up changes little.
    fn learn(&mut self, time: Duration, rows: usize) {
        let row = time / u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        self.row_time = if self.row_time.is_zero() { row } else { (self.row_time * 7 + row) / 8 };
    }

    fn next(&mut self, now: Instant, limits: &Limits) -> Next {
        let is_batch_turn = !self.batch.is_empty() && (self.interactive.is_empty() || self.turns >= TURNS);
        let (lane, other) = if is_batch_turn {
            (&mut self.batch, &mut self.interactive)
        } else {
            (&mut self.interactive, &mut self.batch)
        };
        let Some(first) = lane.front() else {
            return if self.is_closed { Next::End } else { Next::Wait };
        };
        let due_at = first.queued + limits.delay;
        let is_due = |at: &usize| {
            let mut rows = lane.iter().filter(|job| job.goes_with(&lane[*at])).map(|job| job.question.rows);
            lane[*at].queued + limits.delay <= now || rows.by_ref().sum::<usize>() >= limits.batch_rows_max
        };
        let alone = limits.batch_rows_max <= 1 || limits.delay.is_zero() || self.is_closed;
        let Some(at) = (if alone { Some(0) } else { (0..lane.len()).find(is_due) }) else {
            return Next::WaitUntil(due_at);
        };
        let Some(job) = lane.remove(at) else { return Next::Wait };
        let mut room = limits.batch_rows_max.saturating_sub(job.question.rows);
        let mut jobs = vec![job];
        for lane in [lane, other] {
            let mut at = 0;
            while room > 0 && at < lane.len() {
                let fits = lane[at].question.rows <= room && lane[at].goes_with(&jobs[0]);
                match if fits { lane.remove(at) } else { None } {
                    Some(job) => {
                        room -= job.question.rows;
                        jobs.push(job);
                    }
                    None => at += 1,
                }
            }
        }
        self.rows -= jobs.iter().map(|job| job.question.rows).sum::<usize>();
        self.turns = if is_batch_turn || self.batch.is_empty() { 0 } else { self.turns + 1 };
        Next::Run(jobs)
    }
}

/// Where requests are put.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Shared>);

struct Shared {
    lanes: Mutex<Lanes>,
    changed: Condvar,
    limits: Limits,
    counters: Arc<Counters>,
}

impl Queue {
    /// Puts a request in the queue or gives it back at once. Dropping the receiver takes it out again.
    pub(crate) fn submit(
        &self,
        question: Question,
    ) -> Result<oneshot::Receiver<Answer>, (Refused, Question)> {
        let Shared { changed, limits, counters, .. } = &*self.0;
        let (answer, receiver) = oneshot::channel();
        let mut lanes = self.lock();
        if lanes.is_closed {
            return Err((Refused::Ended, question));
        }
        if !lanes.has_room(question.rows, limits) {
            lanes.prune();
            if !lanes.has_room(question.rows, limits) {
                return Err((Refused::Full, question));
            }
        }
        lanes.rows += question.rows;
        let lane = match question.priority {
            Priority::Interactive => &mut lanes.interactive,
            Priority::Batch => &mut lanes.batch,
        };
        lane.push_back(Job { question, queued: Instant::now(), answer });
        counters.pending(lanes.len());
        drop(lanes);
        changed.notify_one();
        Ok(receiver)
    }

    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it takes nothing more: it was closed, or the threads have ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.0.changed.notify_all();
    }

    /// What to run next; `None` when the queue was closed and nothing waits.
    fn next(&self) -> Option<Vec<Job>> {
        let Shared { changed, limits, counters, .. } = &*self.0;
        let mut lanes = self.lock();
        loop {
            let now = Instant::now();
            lanes = match lanes.next(now, limits) {
                Next::End => return None,
                Next::Wait => changed.wait(lanes).unwrap_or_else(PoisonError::into_inner),
                Next::WaitUntil(instant) => {
                    let waited = changed.wait_timeout(lanes, instant.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Run(jobs) => {
                    counters.pending(lanes.len());
                    if lanes.len() > 0 {
                        // A thread that waits may have been told of what this one took.
                        changed.notify_one();
                    }
                    return Some(jobs);
                }
            };
        }
    }
}

/// Threads that own a runner each and share a queue. When they are dropped, what was taken is answered, and they end.
pub(crate) struct Threads {
    queue: Queue,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start<R: Runner>(
        runners: Vec<R>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let name = format!("infer-{}", counters.statistics().name);
        let lanes = Mutex::new(Lanes { threads: runners.len(), ..Lanes::default() });
        let queue = Queue(Arc::new(Shared { lanes, changed: Condvar::new(), limits, counters }));
        let mut started = Self { queue: queue.clone(), threads: Vec::new() };
        for runner in runners {
            let worker = Worker { runner, queue: queue.clone(), _alive: Alive(queue.clone()) };
            started.threads.push(std::thread::Builder::new().name(name.clone()).spawn(|| worker.work())?);
        }
        Ok(started)
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Threads {
    /// Waits for what is being run and what waits: a request whose client left is skipped. Without this the process could unload
    /// the library under a running thread.
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an inference thread had panicked");
            }
        }
    }
}

/// Says that a thread has ended, also by a panic: after the last one nobody would answer.
struct Alive(Queue);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut lanes = self.0.lock();
        lanes.threads = lanes.threads.saturating_sub(1);
        if lanes.threads == 0 {
            lanes.is_closed = true;
            lanes.interactive.clear();
            lanes.batch.clear();
        }
    }
}

struct Worker<R> {
    runner: R,
    queue: Queue,
    _alive: Alive,
}

impl<R: Runner> Worker<R> {
    fn work(mut self) {
        while let Some(mut jobs) = self.queue.next() {
            jobs.retain(|job| !job.answer.is_closed());
            let started = Instant::now();
            let counters = &self.queue.0.counters;
            for job in &jobs {
                counters.waited(started.duration_since(job.queued));
            }
            self.run(jobs);
        }
    }

    fn run(&mut self, jobs: Vec<Job>) {
        let Some(first) = jobs.first() else { return };
        let outputs = Arc::clone(&first.question.outputs);
        let rows: Vec<_> = jobs.iter().map(|job| job.question.rows).collect();
        let (mut requests, mut clients) = (Vec::new(), Vec::new());
        for Job { question, answer, .. } in jobs {
            requests.push(question.inputs);
            clients.push(answer);
        }
        // Kept, so that one request that the model fails at does not take the others with it.
        let again = if clients.len() > 1 { requests.clone() } else { Vec::new() };
        match self.execute(requests, &outputs, &rows) {
            Ok(answers) => {
                for (client, outputs) in clients.into_iter().zip(answers) {
                    answer(client, Ok(outputs));
                }
            }
            Err(cause) if again.is_empty() => {
                for client in clients {
                    answer(client, Err(cause.to_string().into()));
                }
            }
            Err(_) => {
                for ((client, inputs), rows) in clients.into_iter().zip(again).zip(rows) {
                    let alone = self.execute(vec![inputs], &outputs, &[rows]);
                    answer(client, alone.map(|mut answers| answers.pop().unwrap_or_default()));
                }
            }
        }
    }

    fn execute(
        &mut self,
        requests: Vec<Vec<Tensor>>,
        outputs: &[String],
        rows: &[usize],
    ) -> Result<Vec<Vec<Tensor>>, Cause> {
        let started = Instant::now();
        let inputs = batch::together(requests);
        let ready = Instant::now();
        let outputs = self.runner.run(inputs, outputs);
        let computed = Instant::now();
        let answers = outputs.and_then(|outputs| batch::apart(outputs, rows));
        let rows = rows.iter().sum();
        self.queue.lock().learn(started.elapsed(), rows);
        self.queue.0.counters.executed(Execution {
            rows,
            preprocess: ready.duration_since(started),
            compute: computed.duration_since(ready),
            postprocess: computed.elapsed(),
        });
        answers
    }
}

fn answer(client: oneshot::Sender<Answer>, answer: Answer) {
    if client.send(answer).is_err() {
        tracing::debug!("the client left during the inference");
    }
}

#[cfg(test)]
mod tests;
