//! Whatever the order in which uploads, streams, exports, deletions and what is sent again come in: what is held is what the
//! plain model below holds, and each is told the same of its readings.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Cursor, Read},
    sync::Arc,
};

use app::{
    App,
    audit::Caller,
    import::{self, Ended, Import, Source},
    results::DayRange,
};
use domain::measures::daily::Daily;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::bench::{app, body, caller, heart_rate, held, send, settle};

/// A heart rate, by the second in which it was taken.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Reading {
    /// Also the number of its id, where it has one.
    second: u8,
    value: u8,
    /// Whether an app is named that wrote it. No export names one, so the content keys differ.
    has_bundle: bool,
}

/// What comes in.
#[derive(Clone, Debug)]
enum Step {
    /// By the SDK: with ids, and what was deleted.
    Upload(Vec<Reading>, Vec<u8>),
    /// Line by line: some without ids, and what was deleted.
    Stream(Vec<(Reading, bool)>, Vec<u8>),
    /// The phone's export, which names no ids. Its file breaks off behind so many records.
    Export(Vec<Reading>, Option<usize>),
    /// What came before comes again, and whole.
    Again(usize),
    /// The worker does what there is to do; segments are joined.
    Settle,
}

const SECONDS: u8 = 10;

fn reading() -> impl Strategy<Value = Reading> {
    let parts = (0..SECONDS, 60_u8..63, any::<bool>());
    parts.prop_map(|(second, value, has_bundle)| Reading { second, value, has_bundle })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let readings = || proptest::collection::vec(reading(), 1..7);
    let deletions = || proptest::collection::vec(0..SECONDS, 0..2);
    let lines = proptest::collection::vec((reading(), any::<bool>()), 0..7);
    let step = prop_oneof![
        3 => (readings(), deletions()).prop_map(|(readings, deleted)| Step::Upload(readings, deleted)),
        2 => (lines, deletions()).prop_map(|(lines, deleted)| Step::Stream(lines, deleted)),
        2 => (readings(), proptest::option::of(0_usize..6)).prop_map(|(records, cut)| Step::Export(records, cut)),
        4 => (0_usize..16).prop_map(Step::Again),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..14)
}

/// The rules in the plainest form.
#[derive(Default)]
struct Model {
    /// The versions of each id in the order in which they were first seen; the last is the one that counts.
    versions: BTreeMap<u8, Vec<(u8, bool)>>,
    deleted: BTreeSet<u8>,
    /// Readings without an id.
    lines: BTreeSet<(u8, u8)>,
}

/// How many readings were new, known, refused.
type Told = (u64, u64, u64);

impl Model {
    fn named(&mut self, reading: Reading, told: &mut Told) {
        let versions = self.versions.entry(reading.second).or_default();
        let version = (reading.value, reading.has_bundle);
        if self.deleted.contains(&reading.second) {
            told.2 += 1;
        } else if versions.contains(&version) {
            told.1 += 1;
        } else {
            versions.push(version);
            told.0 += 1;
        }
    }

    /// It is the same as one with an id that says the same, whichever version of it, and whether or not that was deleted.
    fn line(&mut self, reading: Reading, told: &mut Told) {
        if self.is_named((reading.second, reading.value))
            || !self.lines.insert((reading.second, reading.value))
        {
            told.1 += 1;
        } else {
            told.0 += 1;
        }
    }

    fn is_named(&self, (second, value): (u8, u8)) -> bool {
        let versions = self.versions.get(&second);
        versions.is_some_and(|versions| versions.iter().any(|(held, _)| *held == value))
    }

    /// The lowest and the highest value. All are of one minute, in which one source counts: the one without a bundle comes first.
    fn range(&self) -> Option<(f64, f64)> {
        let is_bundled = |id: u8| self.versions[&id].last().is_some_and(|(_, has_bundle)| *has_bundle);
        let held = self.held();
        let plain = held.iter().filter(|(id, ..)| !id.is_some_and(is_bundled));
        let values: Vec<u8> = plain.map(|of| of.2).collect();
        let values = if values.is_empty() { held.iter().map(|of| of.2).collect() } else { values };
        Some((f64::from(*values.iter().min()?), f64::from(*values.iter().max()?)))
    }

    /// What is held: id, second, value.
    fn held(&self) -> BTreeSet<(Option<u8>, u8, u8)> {
        let alive = self.versions.iter().filter(|(id, _)| !self.deleted.contains(id));
        let named = alive.filter_map(|(id, versions)| Some((Some(*id), *id, versions.last()?.0)));
        let lines = self.lines.iter().filter(|line| !self.is_named(**line));
        named.chain(lines.map(|(second, value)| (None, *second, *value))).collect()
    }
}

/// A phone's way to say it; without an id where `is_named` is not.
fn sample(reading: Reading, is_named: bool) -> Json {
    let mut sample = heart_rate(u128::from(reading.second) + 1, reading.second.into(), reading.value.into());
    let bundle = reading.has_bundle.then_some("com.apple.health");
    sample["source_revision"] = json!({ "source": { "name": "App", "bundle_identifier": bundle } });
    if !is_named && let Some(sample) = sample.as_object_mut() {
        sample.remove("identifier");
    }
    sample
}

fn record(Reading { second, value, .. }: Reading) -> String {
    let at = format!("2024-03-01 08:00:{second:02} +0000");
    format!(
        "<Record type=\"HKQuantityTypeIdentifierHeartRate\" sourceName=\"App\" unit=\"count/min\" \
         creationDate=\"{at}\" startDate=\"{at}\" endDate=\"{at}\" value=\"{value}\"/>\n"
    )
}

/// A file that cannot be read beyond some place.
struct Torn(Cursor<Vec<u8>>);

impl Read for Torn {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        if read == 0 { Err(io::Error::other("torn")) } else { Ok(read) }
    }
}

struct Person {
    app: Arc<App>,
    anna: Caller,
    model: Model,
    /// Positions in exports that broke off, and what was counted of them.
    broken: BTreeMap<String, (usize, Told)>,
}

impl Person {
    async fn upload(&mut self, readings: &[Reading], deleted: &[u8]) -> (Told, Told) {
        self.model.deleted.extend(deleted);
        let mut expected = Told::default();
        for reading in readings {
            self.model.named(*reading, &mut expected);
        }
        let samples: Vec<Json> = readings.iter().map(|reading| sample(*reading, true)).collect();
        let deleted: Vec<u128> = deleted.iter().map(|id| u128::from(*id) + 1).collect();
        let receipts = send(&self.app, &self.anna, body(&samples, &deleted)).await.receipts;
        let told = (receipts.accepted as u64, receipts.duplicate as u64, receipts.rejected_total as u64);
        (told, expected)
    }

    async fn stream(&mut self, lines: &[(Reading, bool)], deleted: &[u8]) -> (Told, Told) {
        self.model.deleted.extend(deleted);
        let mut expected = Told::default();
        // Without an id, a bundle would make it a reading of its own.
        let plain = |reading: Reading, is_named: bool| Reading {
            has_bundle: reading.has_bundle && is_named,
            ..reading
        };
        for (reading, is_named) in lines {
            if *is_named {
                self.model.named(*reading, &mut expected);
            } else {
                self.model.line(*reading, &mut expected);
            }
        }
        let samples = lines.iter().map(|(reading, named)| sample(plain(*reading, *named), *named));
        let deletions = deleted.iter().map(|id| json!({ "deleted": Uuid::from_u128(u128::from(*id) + 1) }));
        let lines: Vec<String> = samples.chain(deletions).map(|line| line.to_string()).collect();
        let text = lines.join("\n");
        let id = import::import_id(text.len() as u64, text.as_bytes());
        let source = Source::Lines(Box::new(Cursor::new(text.into_bytes())), None);
        let ended = self.app.import_file(&self.anna, id, source, |_, _| Ok(())).await.unwrap();
        let Ended::Read(import) = ended else { panic!("a stream was not read") };
        (counts(&import), expected)
    }

    async fn export(&mut self, records: &[Reading], cut: Option<usize>) -> (Told, Told) {
        let text: Vec<String> = records.iter().copied().map(record).collect();
        let xml = format!("<HealthData>\n{}</HealthData>\n", text.concat());
        let id = import::import_id(xml.len() as u64, xml.as_bytes());
        // Where it goes on: what was counted before counts with it.
        let (before, mut expected) = self.broken.remove(&xml).unwrap_or_default();
        let until = cut.map_or(records.len(), |cut| cut.min(records.len()));
        for reading in records.iter().take(until).skip(before) {
            self.model.line(*reading, &mut expected);
        }
        let source: Box<dyn Read + Send> = if cut.is_some() {
            let whole = text[..until].concat();
            self.broken.insert(xml, (before.max(until), expected));
            Box::new(Torn(Cursor::new(format!("<HealthData>\n{whole}<Reco").into_bytes())))
        } else {
            Box::new(Cursor::new(xml.into_bytes()))
        };
        match self.app.import_file(&self.anna, id, Source::Xml(source), |_, _| Ok(())).await.unwrap() {
            Ended::Read(import) if cut.is_none() => (counts(&import), expected),
            Ended::BrokeOff(import, _) if cut.is_some() => (counts(&import), expected),
            _ => panic!("an export that was {cut:?} ended in another way"),
        }
    }

    async fn take(&mut self, step: &Step) -> Option<(Told, Told)> {
        match step {
            Step::Upload(readings, deleted) => Some(self.upload(readings, deleted).await),
            Step::Stream(lines, deleted) => Some(self.stream(lines, deleted).await),
            Step::Export(records, cut) => Some(self.export(records, *cut).await),
            Step::Again(_) => None,
            Step::Settle => {
                settle(&self.app).await;
                None
            }
        }
    }

    async fn held(&self) -> BTreeSet<(Option<u8>, u8, u8)> {
        let held = held(&self.app, &self.anna).await;
        let flat = |(id, second, value): (Uuid, i64, f64)| {
            let id = u8::try_from(id.as_u128().wrapping_sub(1)).ok();
            (id, u8::try_from(second - 28_800).unwrap(), value.to_string().parse().unwrap())
        };
        let count = held.len();
        let found: BTreeSet<_> = held.into_iter().map(flat).collect();
        assert_eq!(found.len(), count, "a reading is listed twice");
        found
    }
}

fn counts(import: &Import) -> Told {
    (import.counts.accepted, import.counts.duplicate, import.counts.rejected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_held_is_what_the_plain_model_holds(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut person =
                Person { app: app(), anna: caller(1), model: Model::default(), broken: BTreeMap::new() };
            let mut earlier: Vec<Step> = Vec::new();
            for step in steps {
                let step = match step {
                    Step::Again(which) => match earlier.get(which % earlier.len().max(1)).cloned() {
                        // The phone tries until the file is there.
                        Some(Step::Export(records, _)) => Step::Export(records, None),
                        Some(step) => step,
                        None => continue,
                    },
                    step => step,
                };
                if let Some((told, expected)) = person.take(&step).await {
                    prop_assert_eq!(told, expected, "{:?}", step);
                }
                prop_assert_eq!(person.held().await, person.model.held(), "{:?}", step);
                earlier.push(step);
            }
            settle(&person.app).await;
            prop_assert_eq!(person.held().await, person.model.held());
            // The measures are those of what is held, and nothing else.
            let days = person.app.daily(&person.anna, DayRange::default()).await.unwrap();
            let range = |day: &Daily| day.heart_rate_min.value().zip(day.heart_rate_max.value());
            prop_assert_eq!(days.first().and_then(range), person.model.range());
            Ok(())
        })?;
    }
}
