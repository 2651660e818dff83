//! The measures over a year of minutes, one by one and all together. `benches/peer_pyactigraphy.py` computes what of these
//! pyActigraphy has, under the same names, of the same series.

mod processor_time;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::measures::{
    circadian::{interdaily_stability, intradaily_variability},
    cosinor::cosinor,
    epoch::Epoch,
    fractal::dfa,
    regularity::{sleep_midpoint, sleep_regularity},
    rhythm::{
        DayEnds, Layout, average_daily_total, contrast, contrast_by_period, interdaily_stability_over_widths,
        intradaily_variability_over_widths, turns,
    },
    scoring::{
        CountScale, CrespoDefinition, OakleyEpoch, OakleyThreshold, RoennebergRules, SadehDefinition,
        cole_kripke, crespo, oakley, roenneberg, sadeh, scripps, webster,
    },
    transitions::transitions,
};

use crate::processor_time::ProcessorTime;

const DAYS: usize = 365;
const SCALES: [usize; 7] = [10, 20, 40, 80, 160, 320, 640];

/// The series of `tests/data/actigraphy-reference.json`, a year long.
fn year() -> Vec<f64> {
    let mut state: u64 = 42;
    let mut next = |minute: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (u, day, minute) = (state >> 40, minute / 1440, (minute % 1440).cast_signed());
        let shift = [0, 15, -20, 40, -10, 25, 60][day % 7];
        let (on, off) = (420 + shift, 1380 + shift);
        let is_active = (on..off).contains(&minute) || minute < off - 1440;
        let value = match is_active {
            true if (u >> 10) % 10 < 2 => 0,
            true => u % 400,
            false if u.is_multiple_of(25) => u % 120,
            false => 0,
        };
        value as f64
    };
    (0..DAYS * 1440).map(&mut next).collect()
}

/// What is measured: all that depends on its result.
type Case<'a> = (&'static str, Box<dyn Fn() -> f64 + 'a>);

fn number<T>(value: Option<T>, of: impl FnOnce(T) -> f64) -> f64 {
    value.map_or(f64::NAN, of)
}

fn cases<'a>(x: &'a [f64], counts: &'a [Option<f64>]) -> Vec<Case<'a>> {
    let layout = Layout::MINUTES;
    let sleep = || roenneberg(counts, Epoch::MINUTE, RoennebergRules::default());
    let scored = sleep();
    let of_scores = scored.clone();
    let length = |length: usize| length as f64;
    vec![
        (
            "is_iv",
            Box::new(|| {
                let hours: Vec<f64> = x.chunks(60).map(|hour| hour.iter().sum()).collect();
                number(interdaily_stability(&hours, 24), |is| {
                    is + number(intradaily_variability(&hours), |iv| iv)
                })
            }),
        ),
        (
            "ism",
            Box::new(|| number(interdaily_stability_over_widths(counts, Epoch::MINUTE), |found| found.mean)),
        ),
        (
            "ivm",
            Box::new(|| {
                number(intradaily_variability_over_widths(counts, Epoch::MINUTE), |found| found.mean)
            }),
        ),
        ("l5_m10_ra", Box::new(move || number(contrast(counts, layout), |found| found.relative_amplitude))),
        ("rap_24h", Box::new(move || length(contrast_by_period(counts, layout, 1).len()))),
        ("adat", Box::new(move || number(average_daily_total(counts, layout, 0.0), |total| total))),
        (
            "aont_aofft",
            Box::new(move || {
                number(turns(counts, layout, DayEnds::Cut), |found| f64::from(found.onset_minute))
            }),
        ),
        ("kra_kar", Box::new(|| number(transitions(counts, 4.0).rest_to_activity, |k| k))),
        ("cosinor", Box::new(|| number(cosinor(counts, 1440.0), |found| found.amplitude))),
        ("dfa", Box::new(|| number(dfa(x, &SCALES), |found| found.alpha))),
        (
            "cole_kripke_webster",
            Box::new(move || length(webster(&cole_kripke(counts, CountScale::MEAN_OF_2_S_EPOCHS)).len())),
        ),
        ("sadeh", Box::new(move || length(sadeh(counts, SadehDefinition::Published).len()))),
        ("scripps", Box::new(move || length(scripps(counts).len()))),
        (
            "oakley",
            Box::new(move || {
                length(oakley(counts, OakleyEpoch::Seconds60, OakleyThreshold::Automatic).len())
            }),
        ),
        ("roenneberg", Box::new(move || length(sleep().len()))),
        (
            "crespo",
            Box::new(move || length(crespo(counts, Epoch::MINUTE, CrespoDefinition::Published).len())),
        ),
        ("sri", Box::new(move || number(sleep_regularity(&scored, 1440), |found| found.index))),
        ("sleep_midpoint", Box::new(move || number(sleep_midpoint(&of_scores, layout), |minute| minute))),
    ]
}

fn bench(criterion: &mut Criterion<ProcessorTime>) {
    let x = year();
    let counts: Vec<Option<f64>> = x.iter().copied().map(Some).collect();
    let cases = cases(&x, &counts);
    let mut group = criterion.benchmark_group("year_of_minutes");
    group.sample_size(10).throughput(Throughput::Elements(x.len() as u64));
    for (name, case) in &cases {
        assert!(case().is_finite(), "{name} has no result");
        group.bench_function(*name, |b| b.iter(|| black_box(case())));
    }
    group.bench_function("all", |b| b.iter(|| cases.iter().map(|(_, case)| black_box(case())).sum::<f64>()));
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().with_measurement(ProcessorTime); targets = bench }
criterion_main!(benches);
