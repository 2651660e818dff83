//! The usual numbers of a night, from scored epochs.

use serde::{Deserialize, Serialize};

use super::{Basis, Coverage, Measure, count, epoch::Epoch, opaque_debug, scoring::SleepWake};

const TOO_FEW: &str = "too few epochs of the rest interval were scored";
const NO_SLEEP: &str = "no epoch was scored as sleep";

/// What the statistics ask of the data; the number is Clarity's own.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatisticsRules {
    /// Which share of the rest interval must have been scored, 0 to 1.
    pub scored_share_min: f64,
}

impl Default for StatisticsRules {
    fn default() -> Self {
        Self { scored_share_min: 0.9 }
    }
}

/// The statistics of one rest interval. Their coverage is the minutes that were scored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SleepStatistics {
    /// TST: the epochs of sleep. Unit `min`.
    pub total_sleep_time: Measure,
    /// SE: the share of sleep. Unit `%`.
    pub sleep_efficiency: Measure,
    /// SOL: from the start of the interval to the first epoch of sleep. Unit `min`.
    pub sleep_onset_latency: Measure,
    /// WASO: the epochs of wake between the first and the last epoch of sleep. Unit `min`.
    pub wake_after_sleep_onset: Measure,
    /// How often sleep turned into wake in that time. Unit `1`.
    pub awakenings: Measure,
}

opaque_debug!(SleepStatistics);

/// The statistics of a rest interval, of which `scores` are all epochs, as actigraphy reports them (Ancoli-Israel, Martin,
/// Blackwell, et al.: The SBSM guide to actigraphy monitoring. Behav Sleep Med 2015;13(S1):S4-S38; terms of AASM 2007).
///
/// **Missing data.** Epochs that were not scored are neither sleep nor wake: TST and WASO count what was scored, and SE is
/// sleep / (sleep + wake). Nothing is assessed where a smaller share than the rule asks for was scored. The latency is not
/// assessed where an epoch before the first sleep was not scored, because sleep may have begun there.
pub fn sleep_statistics(
    scores: &[Option<SleepWake>],
    epoch: Epoch,
    sources: &[String],
    rules: StatisticsRules,
) -> SleepStatistics {
    let observed = scores.iter().flatten().count();
    let asleep = |score: &Option<SleepWake>| *score == Some(SleepWake::Sleep);
    let sleep = scores.iter().filter(|score| asleep(score)).count();
    let is_assessed = observed > 0 && observed as f64 >= rules.scored_share_min * scores.len() as f64;
    let period = scores.iter().position(asleep).zip(scores.iter().rposition(asleep));
    let minutes = |epochs: usize| epochs as f64 * epoch.as_minutes();
    let whole_minutes = |epochs: usize| count(epochs * epoch.as_seconds() as usize / 60);
    let basis = |unit, method| Basis {
        unit,
        method,
        coverage: Coverage::minutes(whole_minutes(observed), whole_minutes(scores.len())),
        sources: sources.to_vec(),
    };
    let measure = |unit, method, value: Option<f64>, reason| {
        let basis = basis(unit, method);
        if is_assessed { basis.or_not_assessed(value, reason) } else { basis.not_assessed(TOO_FEW) }
    };
    let within = period.map(|(onset, last)| &scores[onset..=last]);
    let latency = period.map(|(onset, _)| onset).filter(|onset| scores[..*onset].iter().all(Option::is_some));
    let latency_reason =
        if period.is_some() { "an epoch before the first sleep was not scored" } else { NO_SLEEP };
    SleepStatistics {
        total_sleep_time: measure("min", "TST, scored epochs of sleep", Some(minutes(sleep)), NO_SLEEP),
        sleep_efficiency: measure(
            "%",
            "SE, sleep / scored epochs of the rest interval",
            (observed > 0).then(|| 100.0 * sleep as f64 / observed as f64),
            TOO_FEW,
        ),
        sleep_onset_latency: measure(
            "min",
            "SOL, from the start of the rest interval to the first epoch of sleep",
            latency.map(minutes),
            latency_reason,
        ),
        wake_after_sleep_onset: measure(
            "min",
            "WASO, scored epochs of wake between the first and the last epoch of sleep",
            within.map(|within| minutes(within.iter().flatten().filter(|score| !score.is_asleep()).count())),
            NO_SLEEP,
        ),
        awakenings: measure(
            "1",
            "number of times that sleep turned into wake between the first and the last epoch of sleep",
            within.map(|within| awakenings(within) as f64),
            NO_SLEEP,
        ),
    }
}

/// How often a scored epoch of wake follows one of sleep, whatever was not scored in between.
fn awakenings(within: &[Option<SleepWake>]) -> usize {
    let scored: Vec<SleepWake> = within.iter().copied().flatten().collect();
    scored.windows(2).filter(|pair| pair[0].is_asleep() && !pair[1].is_asleep()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::CoverageOf;

    /// `s` is sleep, `w` wake, anything else not scored; `*` repeats by hand-written text.
    fn scores(text: &str) -> Vec<Option<SleepWake>> {
        let score = |letter| match letter {
            's' => Some(SleepWake::Sleep),
            'w' => Some(SleepWake::Wake),
            _ => None,
        };
        text.chars().map(score).collect()
    }

    fn of(text: &str) -> SleepStatistics {
        sleep_statistics(&scores(text), Epoch::MINUTE, &["Watch".to_owned()], StatisticsRules::default())
    }

    fn values(found: &SleepStatistics) -> [Option<f64>; 5] {
        [
            &found.total_sleep_time,
            &found.sleep_efficiency,
            &found.sleep_onset_latency,
            &found.wake_after_sleep_onset,
            &found.awakenings,
        ]
        .map(Measure::value)
    }

    #[test]
    fn a_night_by_hand() {
        // 3 wake, 8 sleep, 2 wake, 4 sleep, 1 wake, 1 sleep, 1 wake: 20 minutes in bed.
        let found = of("wwwsssssssswwsssswsw");
        assert_eq!(values(&found), [Some(13.0), Some(65.0), Some(3.0), Some(3.0), Some(2.0)]);
        assert_eq!(
            found.total_sleep_time.coverage(),
            Coverage { observed: 20, expected: 20, of: CoverageOf::Minutes }
        );
        assert_eq!(found.total_sleep_time.sources(), ["Watch"]);
        let half = sleep_statistics(&scores("wwssssws"), Epoch::HALF_MINUTE, &[], StatisticsRules::default());
        assert_eq!(values(&half), [Some(2.5), Some(62.5), Some(1.0), Some(0.5), Some(1.0)]);
    }

    #[test]
    fn a_night_awake_has_no_onset() {
        let found = of("wwwwwwwwww");
        assert_eq!(values(&found), [Some(0.0), Some(0.0), None, None, None]);
        assert_eq!(found.sleep_onset_latency.not_assessed(), Some(NO_SLEEP));
    }

    #[test]
    fn what_was_not_scored_is_neither_sleep_nor_wake() {
        // 18 of 20 scored, 15 asleep.
        let found = of("wssssw??wsssssssssss");
        assert_eq!(values(&found), [Some(15.0), Some(100.0 * 15.0 / 18.0), Some(1.0), Some(2.0), Some(1.0)]);
        assert_eq!(found.wake_after_sleep_onset.coverage(), Coverage::minutes(18, 20));
        let found = of("w?wsssssssssssssssss");
        assert_eq!(
            found.sleep_onset_latency.not_assessed(),
            Some("an epoch before the first sleep was not scored")
        );
        let found = of("wss???ssss");
        assert_eq!((values(&found), found.awakenings.not_assessed()), ([None; 5], Some(TOO_FEW)));
        assert_eq!(values(&of("")), [None; 5]);
    }
}
