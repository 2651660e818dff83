//! The users of a table, without an index that every write would pay for.
//!
//! A scan shows the items of one partition key together, in the order of its sort keys, and may start anywhere. So it reads
//! one item of a user and goes on behind their last possible one: about one small read per user, however many records they
//! have. The order is that of the keys' hashes: stable, and meaningless.

use domain::{ids::UserId, record::Partition};
use ports::{Cursor, Page, Result, paging::check_limit};

use super::{
    DynamoHealthData, IS_ALIVE, invalid,
    item::{self, Item, PARTITION},
    user_of,
};
use crate::error::of_read;

const OPERATION: &str = "records.partitions";

/// Behind every sort key: `~` is the last character of one.
const BEHIND_ALL: &str = "\u{7f}";

/// The most items that are read at once in search of one that has not expired.
const STRIDE_MAX: i32 = 1000;

impl DynamoHealthData {
    pub(super) async fn scan_users(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        check_limit(OPERATION, limit)?;
        let shown = cursor.map(|cursor| cursor.last_shown(OPERATION)).transpose()?;
        let shown = shown.map(str::parse::<UserId>).transpose();
        let shown = shown.map_err(|error| invalid(OPERATION, error))?;
        let mut users = Vec::new();
        let mut position = shown.map(|user| behind(Partition::User(user).to_string()));
        let mut stride = 1;
        while users.len() <= limit {
            let (found, last) = self.stride(position, stride).await?;
            // Expired records that DynamoDB has not removed yet hide the next user.
            stride = if found.is_empty() { STRIDE_MAX.min(stride * 2) } else { 1 };
            let Some(last) = last else {
                append(&mut users, &found)?;
                break;
            };
            position = Some(match found.last() {
                Some(found) if found == item::text(&last, PARTITION)? => behind(found.clone()),
                _ => last,
            });
            append(&mut users, &found)?;
        }
        Ok(Page::cut(users, limit, UserId::to_string))
    }

    /// The partition keys of the living among the next `stride` items, and where those end.
    async fn stride(&self, position: Option<Item>, stride: i32) -> Result<(Vec<String>, Option<Item>)> {
        let request = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .projection_expression(PARTITION)
            .filter_expression(IS_ALIVE)
            .expression_attribute_values(":now", self.now())
            .set_exclusive_start_key(position)
            .limit(stride);
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let keys = answer.items().iter().map(|found| Ok(item::text(found, PARTITION)?.to_owned()));
        Ok((keys.collect::<Result<_>>()?, answer.last_evaluated_key))
    }
}

/// Behind everything of a partition.
fn behind(partition: String) -> Item {
    item::position(partition, BEHIND_ALL.to_owned())
}

/// Adds the users among `partitions` whom the last one is not already.
fn append(users: &mut Vec<UserId>, partitions: &[String]) -> Result<()> {
    for partition in partitions {
        let user = user_of(partition)?;
        if user.is_some() && users.last() != user.as_ref() {
            users.extend(user);
        }
    }
    Ok(())
}
