//! A record as an item. Attribute names count for every item's size, so they are short.

use std::collections::HashMap;

pub(super) use crate::resources::{EXPIRY, PARTITION, SORT};
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use domain::record::{Kind, Partition, RecordKey, SortKey};
use jiff::Timestamp;
use ports::{Cause, Error, ErrorKind, Record, Result, Version};

/// The version.
pub(super) const VERSION: &str = "v";
/// The body.
pub(super) const BODY: &str = "b";

/// DynamoDB's limit of an item, names included.
pub(super) const ITEM_BYTES_MAX: usize = 400 * 1024;

pub(super) type Item = HashMap<String, AttributeValue>;

/// `kind/sort`.
pub(super) fn sort_key(kind: Kind, sort: &str) -> String {
    format!("{kind}/{sort}")
}

/// The key attributes of a record.
pub(super) fn key(key: &RecordKey) -> Item {
    position(key.partition.to_string(), sort_key(key.kind, key.sort.as_str()))
}

/// A place in the table, whether something is stored there or not.
pub(super) fn position(partition: String, sort: String) -> Item {
    HashMap::from([
        (PARTITION.to_owned(), AttributeValue::S(partition)),
        (SORT.to_owned(), AttributeValue::S(sort)),
    ])
}

/// The item that holds `record`.
pub(super) fn encode(record: &Record) -> Item {
    let mut item = key(&record.key);
    item.insert(VERSION.to_owned(), number(&record.version.0));
    item.insert(BODY.to_owned(), AttributeValue::B(Blob::new(record.body.clone())));
    if let Some(end) = record.expires_at {
        item.insert(EXPIRY.to_owned(), number(&end.as_second()));
    }
    item
}

pub(super) fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// How long the values of a key's attributes are. Nearly all partitions are users', whose names are equally long.
pub(super) fn key_bytes(key: &RecordKey) -> usize {
    let partition = match key.partition {
        Partition::User(_) => "user/".len() + uuid::fmt::Hyphenated::LENGTH,
        Partition::Outbox(_) | Partition::IdentityLinks | Partition::Erasures => {
            key.partition.to_string().len()
        }
    };
    let kind: &'static str = key.kind.into();
    partition + kind.len() + "/".len() + key.sort.as_str().len()
}

/// An upper bound of what DynamoDB counts for `record`: names, texts and bytes, and 21 bytes for a number of 38 digits.
pub(super) fn size_bytes(record: &Record) -> usize {
    let names = PARTITION.len() + SORT.len() + VERSION.len() + BODY.len() + EXPIRY.len();
    names + key_bytes(&record.key) + 2 * 21 + record.body.len()
}

/// The record under `key` that `item` holds.
pub(super) fn decode(key: RecordKey, mut item: Item) -> Result<Record> {
    let corrupt = |cause: Cause| Error::new(ErrorKind::Corrupt, "records.decode").with_cause(cause);
    let broken = |name: &str| corrupt(format!("{key} has no attribute {name} of the right type").into());
    let version = item.get(VERSION).and_then(|value| value.as_n().ok()?.parse().ok());
    let version = Version(version.ok_or_else(|| broken(VERSION))?);
    let expires_at = match item.get(EXPIRY) {
        None => None,
        Some(value) => {
            let second = value.as_n().ok().and_then(|text| text.parse().ok());
            let instant = second.and_then(|second| Timestamp::from_second(second).ok());
            Some(instant.ok_or_else(|| broken(EXPIRY))?)
        }
    };
    let Some(AttributeValue::B(body)) = item.remove(BODY) else { return Err(broken(BODY)) };
    Ok(Record { key, version, body: Bytes::from(body.into_inner()), expires_at })
}

/// The text of a key attribute.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    let text = item.get(name).and_then(|value| value.as_s().ok());
    let broken =
        || Error::new(ErrorKind::Corrupt, "records.decode").with_cause(format!("an item has no {name}"));
    Ok(text.ok_or_else(broken)?)
}

/// The sort key in the item's.
pub(super) fn sort_of(item: &Item, kind: Kind) -> Result<SortKey> {
    let text = text(item, SORT)?;
    let sort = text.strip_prefix(&sort_key(kind, "")).and_then(|sort| SortKey::new(sort).ok());
    let broken =
        || Error::new(ErrorKind::Corrupt, "records.decode").with_cause(format!("{text:?} is no {kind}"));
    sort.ok_or_else(broken)
}
