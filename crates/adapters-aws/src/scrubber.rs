//! What becomes of what was deleted on AWS.

use async_trait::async_trait;
use ports::{Result, Scrubber};

/// Does nothing, because nothing of what AWS keeps is in our hands.
///
/// What was deleted is out of reach of every call at once, and AWS removes what is left of it in its own time:
///
/// - DynamoDB: the point-in-time backups of the table hold deleted items for 35 days, or as few days as the table is set to.
///   Expired items are invisible at once and are removed within a few days.
/// - S3: [`delete`](ports::ObjectStore::delete) removes every version of an object. Parts of uploads that were never finished
///   are removed by the bucket's lifecycle rule after a day.
/// - SQS: what a purge did not reach goes with the queue's retention, 14 days at most.
///
/// A statement to a user must name the 35 days: within them, whoever may restore the table can bring deleted records back.
#[derive(Clone, Copy, Debug)]
pub struct AwsScrubber;

#[async_trait]
impl Scrubber for AwsScrubber {
    async fn scrub(&self) -> Result<()> {
        Ok(())
    }
}
