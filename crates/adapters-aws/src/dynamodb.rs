//! Records in one DynamoDB table.
//!
//! A partition is a partition key. The sort key is `kind/sort`: sort keys are printable ASCII, DynamoDB orders strings by
//! their bytes, and no kind's name begins another's with its slash, so a kind's records lie together in the port's order.
//! There is no index: the list of users is a scan that jumps from user to user (see [`scan`]).
//!
//! Every commit is one `TransactWriteItems`, also of a single write: only that call takes a token which makes a repetition
//! after a lost answer safe. It costs two write units where a plain put costs one.

mod commit;
mod cost;
mod item;
mod query;
mod scan;

pub use cost::{item_bytes, write_units};

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    ids::UserId,
    record::{Partition, RecordKey},
};
use ports::{
    Clock, CommitLimits, Cursor, Error, ErrorKind, HealthDataRepository, IdSource, Page, Query, Record,
    Result, Write,
};

use crate::error::of_read;

/// DynamoDB's own limits of a transaction: 100 items and 4 MiB, of which names and numbers take a little.
const LIMITS: CommitLimits = CommitLimits { writes_max: 100, bytes_max: 4_000_000 };

/// What hides a record from the second of its expiry on: DynamoDB removes it some days later.
const IS_ALIVE: &str = "attribute_not_exists(x) OR x > :now";

/// Records in a table.
pub struct DynamoHealthData {
    client: Client,
    table: String,
    /// Within which a commit that others hold up is tried again.
    deadline: Duration,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl DynamoHealthData {
    /// The records of `table`. A commit that meets others is tried again for `deadline`.
    pub fn new(
        client: Client,
        table: impl Into<String>,
        deadline: Duration,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self { client, table: table.into(), deadline, clock, ids }
    }

    /// The present second, as conditions and filters compare with it.
    fn now(&self) -> AttributeValue {
        AttributeValue::N(self.clock.now().as_second().to_string())
    }
}

fn invalid(operation: &'static str, cause: impl Into<ports::Cause>) -> Error {
    Error::new(ErrorKind::InvalidInput, operation).with_cause(cause)
}

#[async_trait]
impl HealthDataRepository for DynamoHealthData {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        const OPERATION: &str = "records.get";
        let request = self.client.get_item().table_name(&self.table).set_key(Some(item::key(key)));
        let answer = request.consistent_read(true).send().await;
        let found = answer.map_err(|error| of_read(OPERATION, &error))?.item;
        let record = found.map(|found| item::decode(key.clone(), found)).transpose()?;
        let now = self.clock.now().as_second();
        Ok(record.filter(|record| record.expires_at.is_none_or(|end| now < end.as_second())))
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        self.query_page(query).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        self.commit_batch(batch).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        self.scan_users(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        LIMITS
    }
}

/// The user of a partition key; `None` for a system partition.
fn user_of(partition_key: &str) -> Result<Option<UserId>> {
    match partition_key.parse() {
        Ok(Partition::User(user)) => Ok(Some(user)),
        Ok(Partition::Outbox(_) | Partition::IdentityLinks | Partition::Erasures) => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Corrupt, "records.partitions").with_cause(error)),
    }
}
