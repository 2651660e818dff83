//! What moto cannot answer, answered by hand: how a commit meets cancelled and repeated transactions.

use std::{sync::Arc, time::Duration};

use adapters_aws::DynamoHealthData;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use conformance::ManualClock;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use ports::{ErrorKind, HealthDataRepository as _, IdSource as _, Outcome, Result, Write};

use crate::fixture::Ids;

const DONE: (u16, &str) = (200, "{}");
const BROKEN: (u16, &str) = (500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#);

/// A transaction that was cancelled for `reason`.
fn cancelled(reason: &str) -> String {
    format!(
        r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons":[{{"Code":"{reason}"}}]}}"#
    )
}

/// Commits one record to a service that gives `answers`; with the tokens that were sent.
async fn commit(answers: &[(u16, &str)], deadline: Duration) -> (Result<()>, Vec<String>) {
    let event = |(status, body): &(u16, &str)| {
        let answer = http::Response::builder().status(*status).body(SdkBody::from(*body)).unwrap();
        ReplayEvent::new(http::Request::new(SdkBody::empty()), answer)
    };
    let replay = StaticReplayClient::new(answers.iter().map(event).collect());
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("test-1"))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .http_client(replay.clone())
        .build();
    let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(Ids));
    let records = DynamoHealthData::new(Client::from_conf(config), "records", deadline, clock, ids);
    let partition = Partition::User(UserId(Ids.next()));
    let key = RecordKey { partition, kind: Kind::Segment, sort: SortKey::new("a").unwrap() };
    let result = records.commit(vec![Write::insert(key, "x")]).await;
    let token = |body: &[u8]| {
        let request: serde_json::Value = serde_json::from_slice(body).unwrap();
        request["ClientRequestToken"].as_str().unwrap().to_owned()
    };
    let tokens = replay.actual_requests().map(|request| token(request.body().bytes().unwrap())).collect();
    (result, tokens)
}

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_repeated_transaction_has_the_same_token() {
    let (result, tokens) = commit(&[BROKEN, DONE], PATIENT).await;
    result.unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_transaction_that_met_another_is_tried_again_with_another_token() {
    for reason in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        let (result, tokens) = commit(&[(400, &cancelled(reason)), DONE], PATIENT).await;
        result.unwrap();
        assert_eq!(tokens.len(), 2);
        assert_ne!(tokens[0], tokens[1]);
    }
}

#[tokio::test]
async fn a_transaction_that_always_meets_others_is_unavailable_and_not_done() {
    let conflict = cancelled("TransactionConflict");
    let answers = vec![(400, conflict.as_str()); 50];
    let (result, tokens) = commit(&answers, Duration::from_millis(100)).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert!(tokens.len() < 50);
}

#[tokio::test]
async fn a_failed_condition_is_a_conflict_at_once() {
    let (result, tokens) = commit(&[(400, &cancelled("ConditionalCheckFailed")), DONE], PATIENT).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    assert_eq!(tokens.len(), 1);
}

#[tokio::test]
async fn a_service_that_always_breaks_leaves_the_outcome_unknown() {
    let (result, tokens) = commit(&[BROKEN; 5], PATIENT).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn what_was_refused_for_want_of_rights_was_not_done() {
    let denied = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#;
    let (result, _) = commit(&[(400, denied)], PATIENT).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PermissionDenied, Outcome::NotApplied));
}
