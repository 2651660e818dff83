//! What a commit costs, by DynamoDB's published rules.
//!
//! An item's size is that of its attributes' names and values; a write counts one unit a KiB begun, of the item as it was or as
//! it will be, whichever is larger. In a transaction each write counts twice, and a condition that is only checked counts as a
//! write of its item.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>

use ports::{Change, Record, Write};

use super::item::{BODY, EXPIRY, PARTITION, SORT, VERSION, key_bytes};

/// What one write unit pays for.
const UNIT_BYTES: usize = 1024;

/// The size of the item that holds `record`.
pub fn item_bytes(record: &Record) -> usize {
    let key = PARTITION.len() + SORT.len() + key_bytes(&record.key);
    let version = VERSION.len() + number_bytes(&record.version.0.to_string());
    let body = BODY.len() + record.body.len();
    let end = record.expires_at.map(|end| EXPIRY.len() + number_bytes(&end.as_second().to_string()));
    key + version + body + end.unwrap_or_default()
}

/// One byte for two significant digits, one more, and one for a minus.
fn number_bytes(text: &str) -> usize {
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, 1),
        None => (text, 0),
    };
    digits.trim_matches('0').len().div_ceil(2) + 1 + sign
}

/// The write units of `write` where `stored` is there already. Outside of a transaction that is all; in one it is half.
pub fn write_units(write: &Write, stored: Option<&Record>) -> usize {
    let before = stored.map(item_bytes).unwrap_or_default();
    let bytes = match &write.change {
        Change::Put(record) => item_bytes(record).max(before),
        Change::Delete(_) | Change::Check(_) => before,
    };
    bytes.div_ceil(UNIT_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use domain::{
        ids::UserId,
        record::{Kind, Partition, RecordKey, SortKey},
    };
    use jiff::Timestamp;
    use ports::{Precondition, Version};

    use super::*;

    fn record(body_bytes: usize) -> Record {
        let partition = Partition::User(UserId(uuid::Uuid::nil()));
        let key = RecordKey { partition, kind: Kind::Segment, sort: SortKey::new("a").unwrap() };
        Record { key, version: Version(1200), body: vec![0; body_bytes].into(), expires_at: None }
    }

    /// Counted by hand: `pk` and `user/` with 36 characters; `sk` and `segment/a`; `v` and 1200, which has two significant digits;
    /// `b` and the body; `x` and ten digits, of which the last three are zeroes.
    #[test]
    fn an_item_counts_its_names_and_values() {
        let mut record = record(100);
        assert_eq!(item_bytes(&record), (2 + 41) + (2 + 9) + (1 + 2) + (1 + 100));
        record.expires_at = Some(Timestamp::from_second(1_700_001_000).unwrap());
        assert_eq!(item_bytes(&record), (2 + 41) + (2 + 9) + (1 + 2) + (1 + 100) + (1 + 5));
    }

    #[test]
    fn numbers_count_their_significant_digits() {
        for (text, bytes) in [("0", 1), ("1", 2), ("10", 2), ("12", 2), ("123", 3), ("-12", 3), ("1020", 3)] {
            assert_eq!(number_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_unit_is_a_kib_begun_of_the_larger_item() {
        let names = item_bytes(&record(0));
        let put = |bytes: usize| {
            let record = record(bytes);
            Write::put(record.key, record.version, record.body, Precondition::None)
        };
        assert_eq!(write_units(&put(UNIT_BYTES - names), None), 1);
        assert_eq!(write_units(&put(UNIT_BYTES - names + 1), None), 2);
        assert_eq!(write_units(&put(1), Some(&record(3000))), 3);
        let key = record(0).key;
        assert_eq!(write_units(&Write::delete(key.clone(), Precondition::None), Some(&record(3000))), 3);
        assert_eq!(write_units(&Write::check(key, Precondition::Absent), None), 1);
    }
}
