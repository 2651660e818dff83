use super::*;

const SOME: Weather = Weather {
    seed: 7,
    percent: 5,
    faults: &[Fault::Reset, Fault::DropAnswer, Fault::Throttle],
    must_be_answered: |_| false,
};

fn faults_of(weather: Weather) -> Vec<Option<Fault>> {
    (0..10_000).map(|number| weather.fault_of(number, b"")).collect()
}

#[test]
fn five_of_a_hundred_requests_meet_a_fault_of_each_kind() {
    let faults = faults_of(SOME);
    let count = |wanted: Fault| faults.iter().filter(|fault| **fault == Some(wanted)).count();
    let counts = [Fault::Reset, Fault::DropAnswer, Fault::Throttle].map(count);
    // Three standard deviations of 10,000 draws at 5 %, and of a third of them.
    assert!((435..=565).contains(&counts.iter().sum::<usize>()), "{counts:?}");
    assert!(counts.iter().all(|count| (128..=205).contains(count)), "{counts:?}");
}

#[test]
fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
    assert_eq!(faults_of(SOME), faults_of(SOME));
    assert_ne!(faults_of(SOME), faults_of(Weather { seed: 8, ..SOME }));
}

#[test]
fn an_answer_that_must_arrive_is_never_dropped() {
    let spared = Weather { must_be_answered: |request| request == b"take", percent: 100, ..SOME };
    let faults =
        |request: &'static [u8]| (0..1000).filter_map(move |number| spared.fault_of(number, request));
    assert!(faults(b"take").all(|fault| fault != Fault::DropAnswer));
    assert!(faults(b"give").any(|fault| fault == Fault::DropAnswer));
}
