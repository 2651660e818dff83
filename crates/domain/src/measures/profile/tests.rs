use jiff::civil::Date;

use super::*;
use crate::{
    calendar::Calendar,
    measures::{
        CoverageOf,
        activity::local_series,
        fixtures::{instant, watch},
        merge::SourcePriority,
    },
    metric::Metric,
    sample::{Sample, Value},
    sleep::{SleepRules, nights},
};

const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Days of a watch from Monday, 1 June 2026, in UTC: a heart rate every half hour, steps from 8:00 to 22:00, and sleep from
/// 23:00 to 7:00, on the nights to Saturday and Sunday from 1:00 to 10:00.
fn samples(days: i64) -> Vec<Sample> {
    let monday = instant("2026-06-01T00:00:00Z");
    let (mut samples, mut noise, mut is_walking) = (Vec::new(), 42_u64, false);
    for day in 0..days {
        let start = monday + day * 24 * HOUR_MS;
        samples
            .extend((0..48).map(|half| watch().point(Metric::HEART_RATE, start + half * HOUR_MS / 2, 60.0)));
        let (from, to) = if day % 7 >= 5 { (1, 10) } else { (-1, 7) };
        let asleep = Interval::new(start + from * HOUR_MS, start + to * HOUR_MS).unwrap();
        samples.push(watch().reading(Metric::SLEEP_ANALYSIS, asleep, Value::Category(3)));
        for minute in 8 * 60..22 * 60 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Whoever walks goes on walking in two minutes of three, and begins to in one of four.
            is_walking = (noise >> 33) % 12 < if is_walking { 8 } else { 3 };
            if is_walking {
                let at = start + minute * MINUTE_MS;
                let interval = Interval::new(at, at + MINUTE_MS).unwrap();
                samples.push(watch().quantity(Metric::STEP_COUNT, interval, 20.0 + (noise >> 58) as f64));
            }
        }
    }
    samples
}

fn of(samples: &[Sample], count: u32, rules: &ProfileRules) -> (Profile, Vec<Option<SleepWake>>) {
    let last = Date::constant(2026, 6, 1).saturating_add(jiff::Span::new().days(i64::from(count) - 1));
    let days = Calendar::new(samples).days_to(last, count);
    let all: Vec<&Sample> = samples.iter().collect();
    let steps: Vec<&Sample> = samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
    let series = local_series(&days, &steps, &all, &SourcePriority::default());
    let nights = nights(samples, &SleepRules::default());
    (profile(&days, &series, &nights, rules), scored_minutes(&days, &series, &nights))
}

#[test]
fn a_fortnight_has_every_measure() {
    let (found, scores) = of(&samples(14), 14, &ProfileRules::default());
    let json = serde_json::to_value(&found).unwrap();
    let measures = json.as_object().unwrap();
    assert_eq!(measures.len(), 16);
    for (name, measure) in measures {
        // Nobody walks at night here, and without a step there is nothing to turn from.
        let is_turn = ["activity_onset", "activity_offset"].contains(&name.as_str());
        assert_eq!(measure["value"].is_f64(), !is_turn, "{name}: {}", measure["not_assessed"]);
        assert!(measure["sources"].as_array().is_some_and(|sources| sources.len() == 1), "{name}");
    }
    // Work: mid-sleep 3:00; free: 5:30, an hour longer: SDweek = 480 + 60 · 2 / 7.
    assert_eq!(found.social_jet_lag.value(), Some(150.0));
    let corrected = 330.0 - (540.0 - (480.0 + 120.0 / 7.0)) / 2.0;
    assert!((found.mid_sleep_free_corrected.value().unwrap() - corrected).abs() < 1e-9);
    assert_eq!(
        found.social_jet_lag.coverage(),
        Coverage { observed: 14, expected: 14, of: CoverageOf::Nights }
    );
    // Of 13 pairs of days, three differ in the hour from 23:00 (Thursday and Friday, Saturday and Sunday, Thursday and Friday)
    // and three in the hours from 0:00 and from 7:00 to 10:00 (Friday and Saturday, Sunday and Monday, Friday and Saturday).
    // After the last reading, at 23:30, 29 minutes are not known.
    let pairs = 13 * 1440 - 29;
    let expected = 100.0 - 200.0 * f64::from(3 * 60 + 3 * 240) / f64::from(pairs);
    assert!((found.sleep_regularity_index.value().unwrap() - expected).abs() < 1e-9);
    assert_eq!(found.sleep_regularity_index.coverage(), Coverage::minutes(13 * 1440 - 29, 13 * 1440));
    assert_eq!(scores.iter().filter(|score| score.is_none()).count(), 29);
    assert!(found.average_daily_total.value().is_some_and(|total| total > 10_000.0));
    assert_eq!(format!("{found:?}"), "Profile(..)");
}

#[test]
fn sleep_wake_and_what_nobody_knows_are_told_apart() {
    let mut samples = samples(3);
    // On the second day the watch is off from 12:00 to 18:00, and there is a nap on the third.
    let noon = instant("2026-06-02T12:00:00Z");
    samples.retain(|sample| !(noon..noon + 6 * HOUR_MS).contains(&sample.interval.start_ms()));
    let nap = instant("2026-06-03T15:00:00Z");
    let nap = Interval::new(nap, nap + HOUR_MS).unwrap();
    samples.push(watch().reading(Metric::SLEEP_ANALYSIS, nap, Value::Category(3)));
    let (_, scores) = of(&samples, 3, &ProfileRules::default());
    let at = |day: usize, hour: usize| scores[day * 1440 + hour * 60];
    assert_eq!(
        (at(0, 3), at(0, 12), at(0, 23)),
        (Some(SleepWake::Sleep), Some(SleepWake::Wake), Some(SleepWake::Sleep))
    );
    assert_eq!((at(1, 7), at(1, 15), at(1, 19)), (Some(SleepWake::Wake), None, Some(SleepWake::Wake)));
    assert_eq!((at(2, 14), at(2, 15), at(2, 17)), (Some(SleepWake::Wake), None, Some(SleepWake::Wake)));
}

#[test]
fn too_few_days_and_nights_are_not_assessed() {
    let (found, _) = of(&samples(5), 5, &ProfileRules::default());
    assert_eq!(found.amplitude.not_assessed(), Some(TOO_FEW_DAYS));
    assert_eq!(found.sleep_regularity_index.not_assessed(), Some("too few nights are known"));
    assert!(found.social_jet_lag.value().is_none());
    let (found, _) = of(&samples(5), 5, &ProfileRules { days_min: 5, ..ProfileRules::default() });
    assert!(found.amplitude.value().is_some() && found.sleep_regularity_index.value().is_some());
    let (found, scores) = of(&[], 7, &ProfileRules::default());
    let json = serde_json::to_value(&found).unwrap();
    assert!(json.as_object().unwrap().values().all(|measure| measure["value"].is_null()));
    assert!(scores.iter().all(Option::is_none));
}
