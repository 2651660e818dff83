use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Says what it starts with, and ends when it is told to: no test here depends on how fast anything is.
struct Gate {
    started: Sender<Vec<f32>>,
    open: Receiver<()>,
}

impl Runner for Gate {
    fn run(&mut self, inputs: Vec<Tensor>, _: &[String]) -> Answer {
        self.started.send(inputs[0].data.clone()).unwrap();
        self.open.recv().unwrap();
        if inputs[0].data.contains(&BAD) {
            return Err("a bad row".into());
        }
        Ok(inputs)
    }
}

/// A row that the model fails at.
const BAD: f32 = -1.0;
const ONE_BY_ONE: Limits = Limits {
    depth: 1,
    rows_waiting_max: 100,
    wait_max: Duration::MAX,
    batch_rows_max: 1,
    delay: Duration::ZERO,
};

fn gated(limits: Limits) -> (Threads, Receiver<Vec<f32>>, Sender<()>) {
    let ((started, has_started), (opener, open)) = (channel(), channel());
    let threads = Threads::start(vec![Gate { started, open }], limits, Counters::new("gate", "1")).unwrap();
    (threads, has_started, opener)
}

fn rows(values: &[f32]) -> Vec<Tensor> {
    vec![Tensor { name: "x".to_owned(), shape: vec![values.len(), 1], data: values.to_vec() }]
}

fn question(values: &[f32], outputs: &[&str], priority: Priority) -> Question {
    let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
    Question { inputs: rows(values), rows: values.len(), outputs, priority }
}

fn ask(threads: &Threads, values: &[f32]) -> Result<oneshot::Receiver<Answer>, Refused> {
    threads.queue().submit(question(values, &["y"], Priority::Interactive)).map_err(|(refused, _)| refused)
}

fn ask_batch(threads: &Threads, values: &[f32]) -> oneshot::Receiver<Answer> {
    threads.queue().submit(question(values, &["y"], Priority::Batch)).map_err(|(refused, _)| refused).unwrap()
}

fn statistics(threads: &Threads) -> ports::ModelStatistics {
    threads.queue.0.counters.statistics()
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_again_when_there_is_room() {
    let (threads, started, open) = gated(ONE_BY_ONE);
    let running = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    let waiting = ask(&threads, &[2.0]).unwrap();
    assert_eq!(ask(&threads, &[3.0]).unwrap_err(), Refused::Full);
    open.send(()).unwrap();
    assert_eq!(running.blocking_recv().unwrap().unwrap(), rows(&[1.0]));
    started.recv().unwrap();
    let later = ask(&threads, &[4.0]).unwrap();
    for answer in [waiting, later] {
        open.send(()).unwrap();
        answer.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(statistics(&threads).execution_count, 3);
}

#[test]
fn what_waits_is_bounded_by_its_rows_too() {
    let (threads, started, open) = gated(Limits { depth: 100, rows_waiting_max: 3, ..ONE_BY_ONE });
    let running = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    let two = ask(&threads, &[2.0, 3.0]).unwrap();
    assert_eq!(ask(&threads, &[4.0, 5.0]).unwrap_err(), Refused::Full);
    let one = ask(&threads, &[6.0]).unwrap();
    assert_eq!(ask(&threads, &[7.0]).unwrap_err(), Refused::Full);
    for answer in [running, two, one] {
        open.send(()).unwrap();
        answer.blocking_recv().unwrap().unwrap();
    }
}

#[test]
fn what_would_wait_too_long_has_no_room() {
    let limits = Limits { depth: 100, wait_max: Duration::from_millis(100), ..ONE_BY_ONE };
    let mut lanes = Lanes { threads: 2, ..Lanes::default() };
    lanes.learn(Duration::from_millis(80), 4);
    assert_eq!(lanes.row_time, Duration::from_millis(20));
    // Ten rows of 20 ms on two threads are 100 ms.
    lanes.rows = 10;
    assert!(lanes.has_room(1, &limits));
    lanes.rows = 11;
    assert!(!lanes.has_room(1, &limits));
    lanes.learn(Duration::from_millis(12), 1);
    assert_eq!(lanes.row_time, Duration::from_millis(19));
    assert!(!lanes.has_room(1, &limits));
    // However slow a model is, one request is always taken: nothing is before it.
    lanes.rows = 0;
    lanes.learn(Duration::from_hours(1), 1);
    assert!(lanes.has_room(1, &limits));
}

#[test]
fn those_whose_client_left_make_room() {
    let (threads, started, open) = gated(ONE_BY_ONE);
    let running = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    drop(ask(&threads, &[2.0]).unwrap());
    let third = ask(&threads, &[3.0]).unwrap();
    for answer in [running, third] {
        open.send(()).unwrap();
        answer.blocking_recv().unwrap().unwrap();
    }
}

#[test]
fn a_client_that_left_the_queue_costs_no_inference() {
    let (threads, started, open) = gated(Limits { depth: 2, ..ONE_BY_ONE });
    let running = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    drop(ask(&threads, &[2.0]).unwrap());
    let last = ask(&threads, &[3.0]).unwrap();
    // Enough for all three, so that an inference too many is counted and does not hang.
    (0..3).for_each(|_| open.send(()).unwrap());
    running.blocking_recv().unwrap().unwrap();
    assert_eq!(last.blocking_recv().unwrap().unwrap(), rows(&[3.0]));
    assert_eq!(statistics(&threads).execution_count, 2);
}

#[test]
fn every_runner_works_at_the_same_time() {
    let ((started, has_started), (open_one, one), (open_two, two)) = (channel(), channel(), channel());
    let gates = vec![Gate { started: started.clone(), open: one }, Gate { started, open: two }];
    let threads =
        Threads::start(gates, Limits { depth: 2, ..ONE_BY_ONE }, Counters::new("gate", "1")).unwrap();
    let answers = [ask(&threads, &[1.0]).unwrap(), ask(&threads, &[2.0]).unwrap()];
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
fn what_was_taken_is_answered_before_the_threads_end() {
    let (threads, started, open) = gated(Limits { depth: 2, ..ONE_BY_ONE });
    let answers = [ask(&threads, &[1.0]).unwrap(), ask(&threads, &[2.0]).unwrap()];
    let queue = threads.queue().clone();
    (0..2).for_each(|_| open.send(()).unwrap());
    drop(threads);
    for answer in answers {
        assert!(answer.blocking_recv().unwrap().is_ok());
    }
    let late = queue.submit(question(&[3.0], &["y"], Priority::Interactive));
    assert_eq!(late.unwrap_err().0, Refused::Ended);
    // Its sender lived in the thread, which said twice that it started.
    assert_eq!(started.iter().count(), 2);
}

#[test]
fn requests_that_wait_share_an_execution_up_to_its_rows() {
    let limits = Limits { depth: 100, batch_rows_max: 4, ..ONE_BY_ONE };
    let (threads, started, open) = gated(limits);
    let first = ask(&threads, &[1.0]).unwrap();
    assert_eq!(started.recv().unwrap(), [1.0]);
    let answers =
        [&[2.0][..], &[3.0, 4.0], &[5.0, 6.0], &[7.0]].map(|values| (values, ask(&threads, values).unwrap()));
    (0..3).for_each(|_| open.send(()).unwrap());
    // Five rows do not fit into four: the pair waits, and the one behind it takes the place.
    assert_eq!(started.recv().unwrap(), [2.0, 3.0, 4.0, 7.0]);
    assert_eq!(started.recv().unwrap(), [5.0, 6.0]);
    first.blocking_recv().unwrap().unwrap();
    for (values, answer) in answers {
        assert_eq!(answer.blocking_recv().unwrap().unwrap(), rows(values));
    }
    let statistics = statistics(&threads);
    assert_eq!((statistics.inference_count, statistics.execution_count), (7, 3));
    assert_eq!(statistics.batches.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(statistics.queue.count, 5);
}

#[test]
fn a_request_waits_for_others_until_the_execution_is_full() {
    // A delay that never ends: only a full execution lets the first one go.
    let limits = Limits { depth: 100, batch_rows_max: 3, delay: Duration::from_hours(1), ..ONE_BY_ONE };
    let (threads, started, open) = gated(limits);
    let answers = [1.0, 2.0, 3.0].map(|value| ask(&threads, &[value]).unwrap());
    assert_eq!(started.recv().unwrap(), [1.0, 2.0, 3.0]);
    open.send(()).unwrap();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
}

#[test]
fn after_its_delay_a_request_goes_alone() {
    let limits = Limits { depth: 100, batch_rows_max: 3, delay: Duration::from_micros(1), ..ONE_BY_ONE };
    let (threads, started, open) = gated(limits);
    open.send(()).unwrap();
    ask(&threads, &[1.0]).unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(started.recv().unwrap(), [1.0]);
}

#[test]
fn only_requests_with_the_same_shape_and_outputs_share_an_execution() {
    let limits = Limits { depth: 100, batch_rows_max: 8, ..ONE_BY_ONE };
    let (threads, started, open) = gated(limits);
    let first = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    let submit = |question| threads.queue().submit(question).map_err(|(refused, _)| refused).unwrap();
    let mut wide = question(&[4.0, 5.0], &["y"], Priority::Interactive);
    (wide.rows, wide.inputs[0].shape) = (1, vec![1, 2]);
    let answers = [
        submit(question(&[2.0], &["y"], Priority::Interactive)),
        submit(question(&[3.0], &["y", "z"], Priority::Interactive)),
        submit(wide),
        submit(question(&[6.0], &["y"], Priority::Interactive)),
        first,
    ];
    (0..4).for_each(|_| open.send(()).unwrap());
    let executions: Vec<_> = (0..3).map(|_| started.recv().unwrap()).collect();
    assert_eq!(executions, [vec![2.0, 6.0], vec![3.0], vec![4.0, 5.0]]);
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
}

#[test]
fn a_request_that_the_model_fails_at_does_not_take_the_others_with_it() {
    let (threads, started, open) = gated(Limits { depth: 100, batch_rows_max: 8, ..ONE_BY_ONE });
    let first = ask(&threads, &[1.0]).unwrap();
    started.recv().unwrap();
    let (good, bad) = (ask(&threads, &[2.0]).unwrap(), ask(&threads, &[BAD]).unwrap());
    // The first, the two together, and each alone.
    (0..4).for_each(|_| open.send(()).unwrap());
    assert_eq!(good.blocking_recv().unwrap().unwrap(), rows(&[2.0]));
    assert_eq!(bad.blocking_recv().unwrap().unwrap_err().to_string(), "a bad row");
    first.blocking_recv().unwrap().unwrap();
}

#[test]
fn somebody_who_waits_goes_before_jobs_which_are_not_starved() {
    let (threads, started, open) = gated(Limits { depth: 100, ..ONE_BY_ONE });
    let first = ask(&threads, &[0.0]).unwrap();
    started.recv().unwrap();
    let jobs = [100.0, 101.0].map(|value| ask_batch(&threads, &[value]));
    let people: Vec<_> = (1..=20_u8).map(|value| ask(&threads, &[f32::from(value)]).unwrap()).collect();
    (0..23).for_each(|_| open.send(()).unwrap());
    let order: Vec<f32> = (0..22).map(|_| started.recv().unwrap()[0]).collect();
    // Eight of theirs, one job, eight of theirs, the other job, and the rest.
    let at = |value: f32| order.iter().position(|one| one.to_bits() == value.to_bits()).unwrap();
    assert_eq!((at(100.0), at(101.0)), (8, 17));
    assert!(order.iter().filter(|value| **value < 100.0).is_sorted());
    for answer in jobs.into_iter().chain(people).chain([first]) {
        answer.blocking_recv().unwrap().unwrap();
    }
}

#[test]
fn a_job_fills_what_is_left_of_an_execution() {
    let (threads, started, open) = gated(Limits { depth: 100, batch_rows_max: 2, ..ONE_BY_ONE });
    let first = ask(&threads, &[0.0]).unwrap();
    started.recv().unwrap();
    let job = ask_batch(&threads, &[100.0]);
    let person = ask(&threads, &[1.0]).unwrap();
    (0..2).for_each(|_| open.send(()).unwrap());
    assert_eq!(started.recv().unwrap(), [1.0, 100.0]);
    for answer in [first, job, person] {
        answer.blocking_recv().unwrap().unwrap();
    }
}

struct Panics;

impl Runner for Panics {
    fn run(&mut self, _: Vec<Tensor>, _: &[String]) -> Answer {
        panic!("a bug")
    }
}

#[test]
fn after_a_panic_requests_are_refused_and_nobody_waits_for_ever() {
    let threads =
        Threads::start(vec![Panics], Limits { depth: 9, ..ONE_BY_ONE }, Counters::new("panics", "1"))
            .unwrap();
    assert!(ask(&threads, &[1.0]).unwrap().blocking_recv().is_err());
    while threads.threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::yield_now();
    }
    assert_eq!(ask(&threads, &[2.0]).unwrap_err(), Refused::Ended);
}
