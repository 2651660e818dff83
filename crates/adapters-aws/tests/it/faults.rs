//! What a caller is told when the way to AWS breaks.

use std::time::{Duration, Instant};

use adapters_aws::{AwsCloud, AwsSettings, SecretService, Timeouts};
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use harness::{Fault, FaultProxy, free_port};
use ports::{
    CloudProvider as _, ErrorKind, IdSource as _, NewMessage, ObjectKey, Outcome, PutOptions, SecretName,
    Write, objects,
};

use crate::fixture::{Account, Ids, open};

fn key() -> RecordKey {
    let partition = Partition::User(UserId(Ids.next()));
    RecordKey { partition, kind: Kind::Segment, sort: SortKey::new("a").unwrap() }
}

/// An account, and the way to it through a proxy.
async fn proxied(change: impl FnOnce(&mut AwsSettings)) -> (Account, FaultProxy, AwsCloud) {
    let account = Account::fresh().await;
    let proxy = FaultProxy::start(account.port).await.unwrap();
    let mut settings = account.settings.clone();
    settings.endpoints.default = Some(proxy.url());
    change(&mut settings);
    let cloud = open(settings, std::sync::Arc::clone(&account.clock)).await;
    (account, proxy, cloud)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_was_done() {
    let (account, proxy, cloud) = proxied(|settings| settings.attempts_max = 1).await;
    let key = key();
    proxy.plan([Fault::DropAnswer]);
    let error = cloud.health_data().unwrap().commit(vec![Write::insert(key.clone(), "x")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    let direct = account.open().await.health_data().unwrap();
    assert!(direct.get(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn attempts_are_bounded() {
    let (account, proxy, cloud) = proxied(|settings| settings.attempts_max = 3).await;
    let key = key();
    proxy.plan([Fault::Reset; 10]);
    let error = cloud.health_data().unwrap().commit(vec![Write::insert(key.clone(), "x")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(proxy.requests(), 3);
    let direct = account.open().await.health_data().unwrap();
    assert!(direct.get(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_read_changes_nothing_however_it_fails() {
    let (_account, proxy, cloud) = proxied(|settings| settings.attempts_max = 2).await;
    proxy.plan([Fault::Reset; 2]);
    let error = cloud.health_data().unwrap().get(&key()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let (_account, _proxy, cloud) = proxied(|settings| {
        settings.endpoints.default = Some(format!("http://127.0.0.1:{}", free_port().unwrap()));
    })
    .await;
    let error = cloud.health_data().unwrap().commit(vec![Write::insert(key(), "x")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    let error = cloud.jobs().unwrap().publish(NewMessage::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
}

#[tokio::test]
async fn a_call_ends_in_time_where_no_answer_comes() {
    let (_account, proxy, cloud) = proxied(|settings| {
        let (attempt, operation) = (Duration::from_millis(200), Duration::from_millis(700));
        settings.timeouts = Timeouts { attempt, operation, ..settings.timeouts };
    })
    .await;
    proxy.plan([Fault::Delay(Duration::from_mins(1)); 10]);
    let begin = Instant::now();
    let error = cloud.health_data().unwrap().commit(vec![Write::insert(key(), "x")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_put_that_meets_itself_after_a_lost_answer_succeeds() {
    let (_account, proxy, cloud) = proxied(|settings| settings.attempts_max = 2).await;
    let (store, key) = (cloud.objects().unwrap(), ObjectKey::new("once").unwrap());
    let if_absent = PutOptions { if_absent: true, ..PutOptions::default() };
    proxy.plan([Fault::DropAnswer]);
    let meta = store.put(&key, objects::once("x"), if_absent.clone()).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), Some(meta));
    let again = store.put(&key, objects::once("y"), if_absent).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_publish_that_is_repeated_after_a_lost_answer_queues_one_message() {
    let (account, proxy, cloud) = proxied(|settings| settings.attempts_max = 2).await;
    let queue = cloud.jobs().unwrap();
    // The first call asks for the queue's address.
    queue.stats().await.unwrap();
    for fault in [Fault::DropAnswer, Fault::Duplicate] {
        proxy.plan([fault]);
        let id = queue.publish(NewMessage { body: "x".into(), ..NewMessage::default() }).await.unwrap();
        let direct = account.open().await.jobs().unwrap();
        let leases = direct.receive(10, Duration::ZERO, Duration::from_secs(30)).await.unwrap();
        assert_eq!(leases.iter().map(|lease| &lease.id).collect::<Vec<_>>(), [&id]);
    }
}

#[tokio::test]
async fn a_parameter_without_its_label_gets_it_before_it_is_used() {
    let (account, proxy, cloud) = proxied(|settings| {
        settings.attempts_max = 1;
        settings.secret_service = SecretService::Ssm;
    })
    .await;
    let (store, name) = (cloud.secrets().unwrap(), SecretName::new("key").unwrap());
    let cut_off = [Fault::Delay(Duration::ZERO), Fault::Reset];
    proxy.plan(cut_off);
    let error = store.put(&name, vec![7].into()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Applied));
    proxy.plan(cut_off);
    let error = store.get(&name, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "it may go, so nothing is sealed with it");
    store.get(&name, None).await.unwrap().unwrap();
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(aws_sdk_ssm::config::BehaviorVersion::latest())
        .region(aws_sdk_ssm::config::Region::new(account.settings.region.clone()))
        .credentials_provider(aws_sdk_ssm::config::Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(account.settings.endpoints.default.clone().unwrap());
    let client = aws_sdk_ssm::Client::from_conf(config.build());
    let id = format!("/{}key", account.settings.secret_prefix);
    let history = client.get_parameter_history().name(id).send().await.unwrap().parameters.unwrap();
    assert_eq!(history[0].labels.as_deref(), Some(&["kept-1".to_owned()][..]));
}
