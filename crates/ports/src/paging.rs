//! What every store of records does the same way: limits, cursors, and the part of a range that is left behind one.

use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use jiff::Timestamp;

use crate::{
    Cause, Cursor, Direction, Error, ErrorKind, Page, QUERY_LIMIT_MAX, Query, Record, Result, Version,
};

/// What a cursor that names the last one shown begins with.
const AFTER: &str = "after:";

impl Cursor {
    /// Behind the one of this name.
    pub fn after(name: &str) -> Self {
        Self(format!("{AFTER}{name}"))
    }

    /// The name of the last one shown; `InvalidInput` where this is no cursor of [`Self::after`].
    pub fn last_shown(&self, operation: &'static str) -> Result<&str> {
        let name = self.0.strip_prefix(AFTER).filter(|name| SortKey::new(*name).is_ok());
        name.ok_or_else(|| Error::new(ErrorKind::InvalidInput, operation).with_cause("not a cursor"))
    }
}

/// Refuses a limit of 0 and one above 1000.
pub fn check_limit(operation: &'static str, limit: usize) -> Result<()> {
    if (1..=QUERY_LIMIT_MAX).contains(&limit) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause("a page has 1 to 1000 items"))
    }
}

impl<T> Page<T> {
    /// A page of `items`, of which there may be more than `limit`; its cursor names the last one shown.
    pub fn cut(mut items: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Self {
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = if is_more { items.last().map(|last| Cursor::after(&name(last))) } else { None };
        Self { items, next }
    }
}

impl Page<UserId> {
    /// A page of the users of `partitions`, of which there may be one more than `limit`, each with whether it is shown: one of
    /// which all records have expired is stepped over.
    pub fn of_users(operation: &'static str, partitions: Vec<(String, bool)>, limit: usize) -> Result<Self> {
        let user = |(name, is_shown): (String, bool)| match name.parse() {
            Ok(Partition::User(user)) => Ok((user, is_shown)),
            _ => Err(Error::new(ErrorKind::Corrupt, operation).with_cause("a partition has no user's name")),
        };
        let users: Vec<(UserId, bool)> = partitions.into_iter().map(user).collect::<Result<_>>()?;
        let Page { items, next } = Page::cut(users, limit, |(user, _)| user.to_string());
        let shown = items.into_iter().filter_map(|(user, is_shown)| is_shown.then_some(user));
        Ok(Self { items: shown.collect(), next })
    }
}

impl Query {
    /// The half-open range of sort keys that is left behind the cursor. Sort keys are printable, so nothing lies between one and
    /// the same with the smallest control character added, and all are before DEL.
    pub fn bounds(&self, operation: &'static str) -> Result<(String, String)> {
        let key = |key: &Option<SortKey>, open: &str| key.as_ref().map_or(open, SortKey::as_str).to_owned();
        let (start, end) = (key(&self.range.start, ""), key(&self.range.end, "\u{7f}"));
        let Some(cursor) = &self.cursor else { return Ok((start, end)) };
        let last = cursor.last_shown(operation)?;
        Ok(match self.direction {
            Direction::Ascending => (start.max(format!("{last}\u{1}")), end),
            Direction::Descending => (start, end.min(last.to_owned())),
        })
    }
}

/// The columns of a stored record besides its partition and kind.
#[derive(Debug)]
pub struct Columns {
    /// The sort key.
    pub sort: String,
    /// The version.
    pub version: i64,
    /// The second of the expiry.
    pub expires_at: Option<i64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Columns {
    /// The record that they hold; an error names the kind and shows no value.
    pub fn record(self, partition: Partition, kind: Kind) -> Result<Record, Cause> {
        let corrupt = |cause: Cause| -> Cause { format!("records of kind {kind}: {cause}").into() };
        let sort = SortKey::new(self.sort).map_err(|error| corrupt(error.into()))?;
        let version = u64::try_from(self.version).map_err(|error| corrupt(error.into()))?;
        let expires_at = self.expires_at.map(Timestamp::from_second).transpose();
        Ok(Record {
            key: RecordKey { partition, kind, sort },
            version: Version(version),
            expires_at: expires_at.map_err(|error| corrupt(error.into()))?,
            body: self.body.into(),
        })
    }
}
