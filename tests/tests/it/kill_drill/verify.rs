//! What was sent and acknowledged, against what reads back.

use std::collections::{HashMap, HashSet};

use e2e::{METRICS, Reading};
use serde_json::Value;

/// What names a reading: its id and when it begins.
pub(crate) type Key = (String, i64);

/// An upload whose 2xx arrived whole.
pub(crate) struct Acknowledged {
    pub(crate) upload_id: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) receipts: Value,
    pub(crate) sha256: String,
}

/// One person's side of the story.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Everything that was ever sent, acknowledged or not.
    pub(crate) sent: HashMap<Key, Reading>,
    pub(crate) acknowledged: Vec<Acknowledged>,
}

/// A reading of a listing.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) key: Key,
    identifier: String,
    value: f64,
}

impl Listed {
    pub(crate) fn new(item: &Value) -> Option<Self> {
        Some(Self {
            key: (item["id"].as_str()?.to_owned(), item["timestamp_ms"].as_i64()?),
            identifier: item["identifier"].as_str()?.to_owned(),
            value: item["value"].as_f64()?,
        })
    }
}

/// What is wrong with a listing; nothing, if all four are empty.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Faults {
    /// Acknowledged, and not there.
    pub(crate) lost: Vec<Key>,
    /// There more than once.
    pub(crate) duplicated: Vec<Key>,
    /// There with another value or metric than was sent.
    pub(crate) altered: Vec<Key>,
    /// There, and sent by nobody.
    pub(crate) foreign: Vec<Key>,
}

pub(crate) fn key(reading: &Reading) -> Key {
    (reading.id.to_string(), reading.start_ms)
}

/// Compares a listing with a ledger.
pub(crate) fn verify(ledger: &Ledger, listing: &[Listed]) -> Faults {
    let mut faults = Faults::default();
    let mut seen = HashSet::new();
    for listed in listing {
        if !seen.insert(&listed.key) {
            faults.duplicated.push(listed.key.clone());
            continue;
        }
        match ledger.sent.get(&listed.key) {
            None => faults.foreign.push(listed.key.clone()),
            // Bit by bit: what was sent is what must be answered.
            Some(sent)
                if sent.value.to_bits() != listed.value.to_bits()
                    || METRICS[sent.metric].0 != listed.identifier =>
            {
                faults.altered.push(listed.key.clone());
            }
            Some(_) => {}
        }
    }
    let promised: HashSet<&Key> = ledger.acknowledged.iter().flat_map(|upload| &upload.keys).collect();
    faults.lost.extend(promised.into_iter().filter(|key| !seen.contains(key)).cloned());
    faults
}

fn example() -> (Ledger, Vec<Listed>) {
    let readings: Vec<Reading> =
        (0..10).map(|n| Reading::heart_rate(uuid::Uuid::from_u128(n), 60_000, 60.5)).collect();
    let listing = readings.iter().map(|reading| Listed {
        key: key(reading),
        identifier: METRICS[reading.metric].0.to_owned(),
        value: reading.value,
    });
    let listing = listing.collect();
    let acknowledged = Acknowledged {
        upload_id: String::new(),
        keys: readings.iter().take(9).map(key).collect(),
        receipts: Value::Null,
        sha256: String::new(),
    };
    let sent = readings.into_iter().map(|reading| (key(&reading), reading)).collect();
    (Ledger { sent, acknowledged: vec![acknowledged] }, listing)
}

#[test]
fn a_whole_listing_has_no_fault() {
    let (ledger, mut listing) = example();
    assert_eq!(verify(&ledger, &listing), Faults::default());
    // The tenth was sent and not acknowledged: it may be there or not.
    listing.pop();
    assert_eq!(verify(&ledger, &listing), Faults::default());
}

#[test]
fn a_missing_reading_is_found() {
    let (ledger, mut listing) = example();
    let missing = listing.remove(3).key;
    assert_eq!(verify(&ledger, &listing), Faults { lost: vec![missing], ..Faults::default() });
}

#[test]
fn a_doubled_reading_is_found() {
    let (ledger, mut listing) = example();
    listing.push(listing[4].clone());
    assert_eq!(
        verify(&ledger, &listing),
        Faults { duplicated: vec![listing[4].key.clone()], ..Faults::default() }
    );
}

#[test]
fn a_changed_value_and_a_reading_of_nobody_are_found() {
    let (ledger, mut listing) = example();
    listing[0].value = 60.500_000_000_000_01;
    listing[1].identifier = METRICS[1].0.to_owned();
    let mut foreign = listing[2].clone();
    foreign.key.1 += 1;
    listing.push(foreign);
    let faults = verify(&ledger, &listing);
    assert_eq!(faults.altered, [listing[0].key.clone(), listing[1].key.clone()]);
    assert_eq!(faults.foreign, [listing[10].key.clone()]);
}
