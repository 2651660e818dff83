//! A person whose days are simple enough to know what the page must show.

use std::sync::Arc;

use domain::{
    calendar::Calendar,
    ids::SampleId,
    measures::{
        activity::local_series,
        circadian::{CircadianRules, circadian},
        daily::daily,
        merge::SourcePriority,
        profile::{ProfileRules, profile, scored_minutes},
    },
    metric::Metric,
    sample::{Sample, Source, Value},
    sleep::{SleepRules, nights},
    time::{Interval, LocalClock, ZoneName, day_interval},
};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, date},
    tz::TimeZone,
};
use report::{ReportData, ReportDay};
use uuid::Uuid;

pub(crate) const FIRST: Date = date(2026, 3, 2);

/// How somebody lives, and when their watch is off.
pub(crate) struct Person {
    pub(crate) days: i64,
    /// The days on whose morning no night was recorded: the watch was off.
    pub(crate) missed_nights: Vec<i64>,
    /// The days without any reading.
    pub(crate) empty_days: Vec<i64>,
    pub(crate) watch: &'static str,
    pub(crate) name: Option<&'static str>,
    /// Steps in every waking minute, each minute another number.
    pub(crate) never_rests: bool,
}

impl Default for Person {
    fn default() -> Self {
        Self {
            days: 10,
            missed_nights: vec![4],
            empty_days: Vec::new(),
            watch: "Watch",
            name: Some("Ada"),
            never_rests: false,
        }
    }
}

/// Steps on each day: a hundred in one minute of each half hour from 8 to 20.
pub(crate) const STEPS: f64 = 2400.0;
/// Asleep from 23:00 to 06:20 but for ten minutes.
pub(crate) const ASLEEP_MINUTES: f64 = 430.0;

impl Person {
    pub(crate) fn data(&self) -> ReportData {
        let samples = self.samples();
        let priority = SourcePriority::default();
        let calendar = Calendar::new(&samples);
        let last = FIRST.checked_add((self.days - 1).days()).unwrap();
        let days = calendar.days_to(last, u32::try_from(self.days).unwrap());
        let found = nights(&samples, &SleepRules::default());
        let nights: Vec<_> = found.into_iter().filter(|night| (FIRST..=last).contains(&night.date)).collect();
        let steps: Vec<&Sample> =
            samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
        let activity = local_series(&days, &steps, &samples.iter().collect::<Vec<_>>(), &priority);
        let of_day = |date: Date| {
            let measures = daily(&calendar.day(date)?, &samples, &priority);
            measures.is_assessed().then_some(measures)
        };
        let day = |date: Date| ReportDay {
            date,
            daily: of_day(date),
            night: nights.iter().find(|night| night.date == date).cloned(),
        };
        ReportData {
            display_name: self.name.map(str::to_owned),
            generated_at: "2026-04-01T10:00:00Z".parse::<Timestamp>().unwrap(),
            zone: "Europe/Berlin".to_owned(),
            days: days.iter().map(|local| day(local.date)).collect(),
            sleep: scored_minutes(&days, &activity, &nights),
            circadian: circadian(&activity, &TimeZone::UTC, CircadianRules::default()),
            profile: profile(&days, &activity, &nights, &ProfileRules::default()),
            activity,
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let zone = ZoneName::new("Europe/Berlin").unwrap();
        let watch = Watch {
            source: Arc::new(Source {
                name: Some(self.watch.to_owned()),
                bundle: Some("com.apple.health".to_owned()),
                product_type: Some("Watch6,2".to_owned()),
            }),
            clock: Arc::new(LocalClock { offset_seconds: 3600, zone: Some(zone) }),
        };
        let mut samples = Vec::new();
        for day in (0..self.days).filter(|day| !self.empty_days.contains(day)) {
            let morning = if self.missed_nights.contains(&day) { 7 * 60 } else { 0 };
            let evening = if self.missed_nights.contains(&(day + 1)) || self.empty_days.contains(&(day + 1)) {
                22 * 60
            } else {
                24 * 60
            };
            for minute in (morning..evening).step_by(10) {
                let rate = 60 + (minute / 10) % 60;
                samples.push(watch.quantity(Metric::HEART_RATE, (day, minute, minute), f64::from(rate)));
            }
            samples.push(watch.quantity(Metric::RESTING_HEART_RATE, (day, 720, 720), 58.0));
            if self.never_rests {
                samples.extend((420..1320).map(|minute| {
                    watch.quantity(
                        Metric::STEP_COUNT,
                        (day, minute, minute + 1),
                        f64::from(1 + minute * 7 % 150),
                    )
                }));
            } else {
                samples.extend(
                    (480..1200)
                        .step_by(30)
                        .map(|minute| watch.quantity(Metric::STEP_COUNT, (day, minute, minute + 1), 100.0)),
                );
            }
            if morning == 0 {
                for (stage, from, to) in
                    [(0, -90, 390), (3, -60, 120), (2, 120, 130), (5, 130, 180), (4, 180, 380)]
                {
                    samples.push(watch.reading(
                        Metric::SLEEP_ANALYSIS,
                        (day, from, to),
                        Value::Category(stage),
                    ));
                }
            }
        }
        samples
    }
}

struct Watch {
    source: Arc<Source>,
    clock: Arc<LocalClock>,
}

impl Watch {
    /// A reading between two minutes after a day's midnight.
    fn reading(&self, metric: Metric, (day, from, to): (i64, i32, i32), value: Value) -> Sample {
        let midnight = day_interval(FIRST.checked_add(day.days()).unwrap(), &self.clock.rules()).start_ms();
        let at = |minute: i32| midnight + i64::from(minute) * 60_000;
        let sample = Sample {
            id: SampleId(Uuid::nil()),
            metric,
            interval: Interval::new(at(from), at(to)).unwrap(),
            value,
            clock: Arc::clone(&self.clock),
            source: Arc::clone(&self.source),
            metadata: None,
        };
        Sample { id: sample.content_key().sample_id(), ..sample }
    }

    fn quantity(&self, metric: Metric, at: (i64, i32, i32), value: f64) -> Sample {
        self.reading(metric, at, Value::Quantity(value))
    }
}
