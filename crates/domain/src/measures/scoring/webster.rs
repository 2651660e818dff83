//! Webster, Kripke, Messin, Mullaney, Wyborney: An activity-based sleep monitor system for ambulatory use. Sleep
//! 1982;5:389-399; with the rules as Cole et al. 1992 state them.

use std::ops::Range;

use super::SleepWake;

/// After so many minutes of wake, so many minutes of sleep are wake.
const AFTER_WAKE: [(usize, usize); 3] = [(4, 1), (10, 3), (15, 4)];
/// Between two times so many minutes of wake, at most so many minutes are wake.
const BETWEEN_WAKE: [(usize, usize); 2] = [(10, 6), (20, 10)];

/// Rescores minutes of sleep as wake by Webster's five rules.
///
/// After at least 4 minutes of wake, the next 1 minute of sleep; after 10, the next 3; after 15, the next 4, where sleep
/// lasts that long; and what lies between two times of at least 10 minutes of wake if it lasts at most 6 minutes, or
/// between two times of 20 if at most 10. Every rule looks at the scores as they are given, so the order of the rules does
/// not matter.
///
/// **Missing data.** A minute that is not scored ends a time of sleep or wake and stays what it is; between two times of
/// wake nothing is rescored where it lies between them.
pub fn webster(scores: &[Option<SleepWake>]) -> Vec<Option<SleepWake>> {
    let runs = runs(scores);
    let mut rescored = scores.to_vec();
    for pair in runs.windows(2) {
        let ((before, Some(SleepWake::Wake)), (sleep, Some(SleepWake::Sleep))) = (&pair[0], &pair[1]) else {
            continue;
        };
        for (wake_min, sleep_minutes) in AFTER_WAKE {
            if before.len() >= wake_min && sleep.len() >= sleep_minutes {
                rescored[sleep.start..sleep.start + sleep_minutes].fill(Some(SleepWake::Wake));
            }
        }
    }
    for (wake_min, minutes_max) in BETWEEN_WAKE {
        let is_long_wake =
            |(run, score): &&(Range<usize>, _)| *score == Some(SleepWake::Wake) && run.len() >= wake_min;
        let long: Vec<&Range<usize>> = runs.iter().filter(is_long_wake).map(|(run, _)| run).collect();
        for pair in long.windows(2) {
            let between = pair[0].end..pair[1].start;
            if between.len() <= minutes_max && scores[between.clone()].iter().all(Option::is_some) {
                rescored[between].fill(Some(SleepWake::Wake));
            }
        }
    }
    rescored
}

/// The times in which the score does not change.
fn runs(scores: &[Option<SleepWake>]) -> Vec<(Range<usize>, Option<SleepWake>)> {
    let mut start = 0;
    let of_run = |run: &[Option<SleepWake>]| {
        let range = start..start + run.len();
        start = range.end;
        (range, run[0])
    };
    scores.chunk_by(|a, b| a == b).map(of_run).collect()
}
