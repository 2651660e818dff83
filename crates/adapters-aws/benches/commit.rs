//! What a commit costs the processor beside the bare call of the SDK that it makes, with the network faked in process.
//!
//! Time of the processor on one thread, the two by turns; whatever else the machine does is not counted. Prints the ratio of the
//! medians, and fails above [`RATIO_MAX`].
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where something fails"
)]

use std::{collections::HashMap, sync::Arc, time::Duration};

use adapters_aws::DynamoHealthData;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    primitives::Blob,
    types::{AttributeValue, Put, TransactWriteItem},
};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use ports::{HealthDataRepository as _, IdSource as _, SystemClock, SystemIds, Write};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;

const RATIO_MAX: f64 = 1.2;
const ROUNDS: usize = 60;
const CALLS_A_ROUND: u32 = 25;

/// A DynamoDB that does everything at once.
fn client() -> Client {
    let done = |_| http::Response::builder().status(200).body(SdkBody::from("{}")).unwrap();
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts.build())
        .http_client(infallible_client_fn(done));
    Client::from_conf(config.build())
}

/// Keys and bodies of a commit as an upload makes it: a segment, the timeline, the upload, an intent, an audit entry.
fn records(segment_bytes: usize) -> Vec<(RecordKey, Bytes)> {
    let partition = Partition::User(UserId(SystemIds.next()));
    let kinds = [
        (Kind::Segment, segment_bytes),
        (Kind::Timeline, 300),
        (Kind::Upload, 600),
        (Kind::Outbox, 300),
        (Kind::Audit, 250),
    ];
    let sort = SortKey::new("01997b3e-2f1a-7c3d-9f00-3a4b5c6d7e8f").unwrap();
    let key = |kind| RecordKey { partition, kind, sort: sort.clone() };
    kinds.map(|(kind, bytes)| (key(kind), Bytes::from(vec![7; bytes]))).into()
}

/// What the adapter asks of the SDK, written by hand: the same items, condition and token.
async fn bare(client: &Client, records: &[(RecordKey, Bytes)]) {
    let put = |(key, body): &(RecordKey, Bytes)| {
        let item = HashMap::from([
            ("pk".to_owned(), AttributeValue::S(key.partition.to_string())),
            ("sk".to_owned(), AttributeValue::S(format!("{}/{}", key.kind, key.sort.as_str()))),
            ("v".to_owned(), AttributeValue::N("1".to_owned())),
            ("b".to_owned(), AttributeValue::B(Blob::new(body.clone()))),
        ]);
        let now = AttributeValue::N("1772366400".to_owned());
        let put = Put::builder()
            .table_name("records")
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR x <= :now")
            .expression_attribute_values(":now", now);
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    };
    let items = records.iter().map(put).collect();
    let request = client.transact_write_items().set_transact_items(Some(items));
    request.client_request_token(SystemIds.next().to_string()).send().await.unwrap();
}

async fn ours(adapter: &DynamoHealthData, records: &[(RecordKey, Bytes)]) {
    let batch = records.iter().map(|(key, body)| Write::insert(key.clone(), body.clone()));
    adapter.commit(batch.collect()).await.unwrap();
}

/// Processor time of one call, the mean of a round.
async fn round(call: impl AsyncFn()) -> f64 {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let begun = now();
    for _ in 0..CALLS_A_ROUND {
        call().await;
    }
    now().saturating_sub(begun).as_secs_f64() * 1e6 / f64::from(CALLS_A_ROUND)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let (client, patience) = (client(), Duration::from_secs(15));
    let adapter = DynamoHealthData::new(client.clone(), "records", patience, clock, ids);
    let mut worst: f64 = 0.0;
    for segment_bytes in [600, 6_000, 60_000] {
        let records = records(segment_bytes);
        let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for number in 0..ROUNDS {
                let by_sdk = round(async || bare(&client, &records).await).await;
                let by_us = round(async || ours(&adapter, &records).await).await;
                // The first rounds warm up.
                if number >= 5 {
                    of_bare.push(by_sdk);
                    of_ours.push(by_us);
                }
            }
        });
        let (bare, ours) = (median(of_bare), median(of_ours));
        worst = worst.max(ours / bare);
        println!(
            "commit of 5 records, {segment_bytes} bytes in the segment: {ours:.1} µs by the adapter, {bare:.1} µs by the bare SDK, \
             ratio {:.3}",
            ours / bare
        );
    }
    assert!(worst <= RATIO_MAX, "the adapter costs {worst:.3} times what the bare call costs");
}
