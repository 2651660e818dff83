//! One commit is one transaction.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem},
};
use aws_smithy_types::error::operation::BuildError;
use ports::{Change, Error, ErrorKind, Outcome, Precondition, Result, Write};
use tokio::time::{Instant, sleep};

use super::{
    DynamoHealthData, LIMITS, invalid,
    item::{self, ITEM_BYTES_MAX},
};
use crate::error::{Attempts, of_write};

const OPERATION: &str = "records.commit";

/// The longest pause before a transaction that met another is tried again.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Why a transaction was not done.
enum Refusal {
    /// Others held it up, or the table was busy: the same may succeed later.
    Passing(Error),
    /// Anything else.
    Final(Error),
}

impl DynamoHealthData {
    pub(super) async fn commit_batch(&self, batch: Vec<Write>) -> Result<()> {
        check(&batch)?;
        let mut writes = self.parts(&batch)?;
        if writes.is_empty() {
            return Ok(());
        }
        let end = Instant::now() + self.deadline;
        let mut pause = Duration::from_millis(10);
        let mut is_in_doubt = false;
        loop {
            let attempts = Attempts::default();
            let (error, is_final) = match self.attempt(writes, &attempts).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Final(error)) => (error, true),
                Err(Refusal::Passing(error)) => (error, false),
            };
            // What was lost under an earlier token may have been done since: then this one met its own work.
            let error = if is_in_doubt { error.with_outcome(Outcome::Unknown) } else { error };
            if is_final {
                return Err(error);
            }
            is_in_doubt |= attempts.is_in_doubt();
            // Any moment up to the pause, so that those who met do not meet again.
            let wait = pause.mul_f64(rand::random());
            if Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
            pause = PAUSE_MAX.min(pause * 2);
            // Made anew rather than kept for the rare case that they are needed twice: they hold all bodies.
            writes = self.parts(&batch)?;
        }
    }

    /// The parts of the transaction that does `batch` now.
    fn parts(&self, batch: &[Write]) -> Result<Vec<TransactWriteItem>> {
        let now = self.now();
        let parts = batch.iter().filter_map(|write| self.transact(write, &now).transpose());
        parts
            .collect::<Result<_, BuildError>>()
            .map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))
    }

    /// One transaction. The SDK repeats it with the same token where the answer is lost, and DynamoDB does it once. What was
    /// answered with a refusal gets a new token: it is another decision.
    async fn attempt(&self, writes: Vec<TransactWriteItem>, attempts: &Attempts) -> Result<(), Refusal> {
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .client_request_token(self.ids.next().to_string());
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        let Err(error) = answer else { return Ok(()) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
                Err(refusal(&reasons.collect::<Vec<_>>()))
            }
            _ => Err(Refusal::Final(of_write(OPERATION, attempts, &error))),
        }
    }

    /// `write` as a part of a transaction; `None` where it neither changes nor tests anything.
    fn transact(&self, write: &Write, now: &AttributeValue) -> Result<Option<TransactWriteItem>, BuildError> {
        let (expression, values) = condition(write.precondition, now).unzip();
        let expression = expression.map(str::to_owned);
        let part = TransactWriteItem::builder();
        let part = match &write.change {
            Change::Put(record) => part.put(
                Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(item::encode(record)))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Change::Delete(key) => part.delete(
                Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(item::key(key)))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Change::Check(_) if expression.is_none() => return Ok(None),
            Change::Check(key) => part.condition_check(
                ConditionCheck::builder()
                    .table_name(&self.table)
                    .set_key(Some(item::key(key)))
                    .set_condition_expression(expression)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
        };
        Ok(Some(part.build()))
    }
}

/// What must hold, in DynamoDB's words, with the values that they name. A record that has expired counts as absent.
fn condition(
    precondition: Precondition,
    now: &AttributeValue,
) -> Option<(&'static str, HashMap<String, AttributeValue>)> {
    let (expression, version) = match precondition {
        Precondition::None => return None,
        Precondition::Absent => ("attribute_not_exists(pk) OR x <= :now", None),
        Precondition::VersionEquals(version) => {
            ("v = :v AND (attribute_not_exists(x) OR x > :now)", Some(version))
        }
        Precondition::VersionLess(version) => {
            ("attribute_not_exists(pk) OR v < :v OR x <= :now", Some(version))
        }
    };
    let mut values = HashMap::from([(":now".to_owned(), now.clone())]);
    values.extend(version.map(|version| (":v".to_owned(), item::number(&version.0))));
    Some((expression, values))
}

/// What the reasons of a cancelled transaction mean, one per write. Nothing of it was done.
fn refusal(reasons: &[&str]) -> Refusal {
    let is_among = |names: &[&str]| reasons.iter().any(|reason| names.contains(reason));
    let error = |kind| Error::new(kind, OPERATION).with_cause(reasons.join(", "));
    if is_among(&["ConditionalCheckFailed"]) {
        Refusal::Final(error(ErrorKind::Conflict))
    } else if is_among(&["ValidationError", "ItemCollectionSizeLimitExceeded"]) {
        Refusal::Final(error(ErrorKind::InvalidInput))
    } else if is_among(&["ThrottlingError", "ProvisionedThroughputExceeded"]) {
        Refusal::Passing(error(ErrorKind::RateLimited))
    } else {
        Refusal::Passing(error(ErrorKind::Unavailable))
    }
}

/// Refuses a batch that names a key twice or is above a limit. It is never split: then it would not be atomic.
fn check(batch: &[Write]) -> Result<()> {
    if batch.len() > LIMITS.writes_max {
        return Err(invalid(OPERATION, format!("{} writes, and at most {}", batch.len(), LIMITS.writes_max)));
    }
    let mut keys: Vec<_> = batch.iter().map(|write| write.change.key()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid(OPERATION, "a key is in the batch twice"));
    }
    let mut size_bytes = 0;
    for write in batch {
        size_bytes += item::key_bytes(write.change.key());
        if let Change::Put(record) = &write.change {
            size_bytes += record.body.len();
            let item_bytes = item::size_bytes(record);
            if item_bytes > ITEM_BYTES_MAX {
                let cause = format!("a record of {item_bytes} bytes, and DynamoDB takes {ITEM_BYTES_MAX}");
                return Err(invalid(OPERATION, cause));
            }
        }
    }
    if size_bytes > LIMITS.bytes_max {
        return Err(invalid(OPERATION, format!("{size_bytes} bytes, and at most {}", LIMITS.bytes_max)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_condition_is_a_conflict() {
        let kind = |reasons: &[&str]| match refusal(reasons) {
            Refusal::Final(error) => (error.kind(), false),
            Refusal::Passing(error) => (error.kind(), true),
        };
        assert_eq!(kind(&["TransactionConflict", "ConditionalCheckFailed"]), (ErrorKind::Conflict, false));
        assert_eq!(kind(&["None", "TransactionConflict"]), (ErrorKind::Unavailable, true));
        assert_eq!(kind(&["ThrottlingError", "TransactionConflict"]), (ErrorKind::RateLimited, true));
        assert_eq!(kind(&["ValidationError"]), (ErrorKind::InvalidInput, false));
    }
}
