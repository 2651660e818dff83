//! Pages of one kind in one partition.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::record::{Kind, RecordKey, SortKey, SortRange};
use ports::{Direction, Page, Query, Record, Result, paging::check_limit};

use super::{
    DynamoHealthData, IS_ALIVE,
    item::{self, PARTITION, SORT},
};
use crate::error::of_read;

const OPERATION: &str = "records.query";

/// Sort keys from the first text up to before the second.
struct Bounds {
    start: String,
    end: String,
}

impl Bounds {
    /// The part of `range` behind the cursor, as sort keys of the table.
    fn new(kind: Kind, range: &SortRange, behind: Option<&str>, direction: Direction) -> Self {
        let start = item::sort_key(kind, range.start.as_ref().map_or("", SortKey::as_str));
        // `0` is the byte after `/`, so this is the first text behind all keys of the kind.
        let end = match &range.end {
            Some(end) => item::sort_key(kind, end.as_str()),
            None => format!("{kind}0"),
        };
        let Some(behind) = behind else { return Self { start, end } };
        let behind = item::sort_key(kind, behind);
        match direction {
            // A space is the smallest character of a sort key, so this is the next text after the cursor's.
            Direction::Ascending => Self { start: start.max(behind + " "), end },
            Direction::Descending => Self { start, end: end.min(behind) },
        }
    }

    /// DynamoDB refuses a range whose ends are the wrong way around.
    fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

impl DynamoHealthData {
    pub(super) async fn query_page(&self, query: &Query) -> Result<Page<Record>> {
        check_limit(OPERATION, query.limit)?;
        let behind = query.cursor.as_ref().map(|cursor| cursor.last_shown(OPERATION)).transpose()?;
        let bounds = Bounds::new(query.kind, &query.range, behind, query.direction);
        let mut records = Vec::new();
        if !bounds.is_empty() {
            self.read(query, &bounds, &mut records).await?;
        }
        Ok(Page::cut(records, query.limit, |record| record.key.sort.as_str().to_owned()))
    }

    /// Reads one record more than the page holds, which tells whether there is another page.
    async fn read(&self, query: &Query, bounds: &Bounds, records: &mut Vec<Record>) -> Result<()> {
        let mut position = None;
        loop {
            let wanted = query.limit + 1 - records.len();
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .scan_index_forward(query.direction == Direction::Ascending)
                .key_condition_expression(format!("{PARTITION} = :pk AND {SORT} BETWEEN :start AND :end"))
                .filter_expression(IS_ALIVE)
                .expression_attribute_values(":pk", AttributeValue::S(query.partition.to_string()))
                .expression_attribute_values(":start", AttributeValue::S(bounds.start.clone()))
                .expression_attribute_values(":end", AttributeValue::S(bounds.end.clone()))
                .expression_attribute_values(":now", self.now())
                .set_exclusive_start_key(position)
                // The end of the range is read with it, and dropped.
                .limit(i32::try_from(wanted + 1).unwrap_or(i32::MAX));
            let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
            for found in answer.items.unwrap_or_default() {
                if item::text(&found, SORT)? != bounds.end {
                    let sort = item::sort_of(&found, query.kind)?;
                    let key = RecordKey { partition: query.partition, kind: query.kind, sort };
                    records.push(item::decode(key, found)?);
                }
            }
            position = answer.last_evaluated_key;
            if records.len() > query.limit || position.is_none() {
                return Ok(());
            }
        }
    }
}
