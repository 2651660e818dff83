//! What the ports do not promise, and these adapters do; and what SQS keeps of a promise that it cannot keep whole.

use std::time::Duration;

use adapters_aws::SecretService;
use aws_sdk_ssm::types::ParameterType;
use conformance::TimeControl as _;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use ports::{
    CloudProvider as _, ErrorKind, IdSource as _, JobQueue, NewMessage, ObjectKey, Outcome, PresignedMethod,
    PutOptions, SecretName, Write, objects,
};
use secrecy::ExposeSecret as _;

use crate::fixture::{Account, Ids, open};

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let account = Account::fresh().await;
    let mut settings = account.settings.clone();
    settings.queue = "jobs".to_owned();
    let refused = adapters_aws::AwsCloud::connect(settings, account.clock, std::sync::Arc::new(Ids)).await;
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_record_above_the_limit_of_an_item_is_invalid_and_says_why() {
    let records = Account::fresh().await.open().await.health_data().unwrap();
    let partition = Partition::User(UserId(Ids.next()));
    let key = RecordKey { partition, kind: Kind::Segment, sort: SortKey::new("a").unwrap() };
    let error = records.commit(vec![Write::insert(key, vec![0; 409_600])]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("409600"), "{cause}");
}

#[tokio::test]
async fn deleting_an_object_removes_all_its_versions_and_none_of_others() {
    let account = Account::fresh().await;
    let store = account.open().await.objects().unwrap();
    let (gone, left) = (ObjectKey::new("a").unwrap(), ObjectKey::new("a/b").unwrap());
    for body in ["first", "second", "third"] {
        for key in [&gone, &left] {
            store.put(key, objects::once(body), PutOptions::default()).await.unwrap();
        }
    }
    store.delete(&gone).await.unwrap();
    let url = format!("{}/{}?versions", account.settings.endpoints.default.unwrap(), account.settings.bucket);
    let versions = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert_eq!(
        (versions.matches("<Key>a</Key>").count(), versions.matches("<Key>a/b</Key>").count()),
        (0, 3)
    );
}

#[tokio::test]
async fn what_came_by_a_presigned_url_has_a_digest() {
    let store = Account::fresh().await.open().await.objects().unwrap();
    let key = ObjectKey::new("uploads/1").unwrap();
    let put = PresignedMethod::Put { size_bytes_max: 100 };
    let url = store.presign(&key, put, Duration::from_mins(5)).await.unwrap();
    assert!(url.contains("x-size-bytes-max=100"), "the limit is not signed");
    reqwest::Client::new().put(url).body("from a phone").send().await.unwrap().error_for_status().unwrap();

    let with_digest = PutOptions::default();
    let same = ObjectKey::new("same").unwrap();
    let expected = store.put(&same, objects::once("from a phone"), with_digest).await.unwrap();
    let meta = store.head(&key).await.unwrap().unwrap();
    assert_eq!((meta.sha256, meta.size_bytes), (expected.sha256, 12));
    let url = store.presign(&key, PresignedMethod::Get, Duration::from_mins(5)).await.unwrap();
    assert_eq!(reqwest::get(url).await.unwrap().text().await.unwrap(), "from a phone");
}

#[tokio::test]
async fn a_rotated_secret_is_noticed_when_the_cache_ends() {
    a_rotation_is_noticed(SecretService::SecretsManager).await;
    a_rotation_is_noticed(SecretService::Ssm).await;
}

async fn a_rotation_is_noticed(service: SecretService) {
    let mut account = Account::fresh().await;
    account.settings.secret_service = service;
    let mut settings = account.settings.clone();
    settings.secrets_cached_for = Duration::from_mins(5);
    let cached = open(settings, std::sync::Arc::clone(&account.clock)).await.secrets().unwrap();
    let other = account.open().await.secrets().unwrap();
    let name = SecretName::new("api-key").unwrap();
    let latest = async || cached.get(&name, None).await.unwrap().unwrap().value.expose_secret().to_vec();

    other.put(&name, b"first".to_vec().into()).await.unwrap();
    assert_eq!(latest().await, b"first");
    other.put(&name, b"second".to_vec().into()).await.unwrap();
    assert_eq!(latest().await, b"first");
    account.clock.advance(Duration::from_mins(6)).await;
    assert_eq!(latest().await, b"second");
    // Its own puts it notices at once.
    cached.put(&name, b"third".to_vec().into()).await.unwrap();
    assert_eq!(latest().await, b"third");
}

#[tokio::test]
async fn a_parameter_may_be_put_by_hand_is_sealed_and_keeps_100_versions() {
    let mut account = Account::fresh().await;
    account.settings.secret_service = SecretService::Ssm;
    let store = account.open().await.secrets().unwrap();
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(aws_sdk_ssm::config::BehaviorVersion::latest())
        .region(aws_sdk_ssm::config::Region::new(account.settings.region.clone()))
        .credentials_provider(aws_sdk_ssm::config::Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(account.settings.endpoints.default.clone().unwrap());
    let client = aws_sdk_ssm::Client::from_conf(config.build());
    let name = SecretName::new("by-hand").unwrap();
    let id = format!("/{}by-hand", account.settings.secret_prefix);
    let put = client.put_parameter().name(&id).value("a text").r#type(ParameterType::SecureString);
    put.send().await.unwrap();
    let read = store.get(&name, None).await.unwrap().unwrap();
    assert_eq!((read.version.as_str(), read.value.expose_secret()), ("1", &b"a text"[..]));
    store.put(&name, vec![0, 255].into()).await.unwrap();
    let sealed = client.get_parameter().name(&id).send().await.unwrap().parameter.unwrap();
    assert_eq!(sealed.r#type, Some(ParameterType::SecureString));
    // Not asked to open it, moto shows that it is sealed.
    assert!(sealed.value.unwrap().starts_with("kms:"));

    let name = SecretName::new("often").unwrap();
    for number in 1..=100_u8 {
        assert_eq!(store.put(&name, vec![number].into()).await.unwrap(), number.to_string());
    }
    let refused = store.put(&name, vec![101].into()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::InvalidInput, Outcome::NotApplied));
    let oldest = store.get(&name, Some("1")).await.unwrap().unwrap();
    assert_eq!(oldest.value.expose_secret(), [1]);
    let large = store.put(&name, vec![0; 7000].into()).await.unwrap_err();
    assert_eq!(large.kind(), ErrorKind::InvalidInput);
}

const LEASE: Duration = Duration::from_secs(10);

fn keyed(key: &str, body: &'static str) -> NewMessage {
    NewMessage { body: body.into(), ordering_key: Some(key.to_owned()), ..NewMessage::default() }
}

async fn counts(queue: &dyn JobQueue) -> (u64, u64) {
    let stats = queue.stats().await.unwrap();
    (stats.depth, stats.dead)
}

#[tokio::test]
async fn stats_count_what_waits_and_what_is_leased_and_what_is_dead() {
    let queue = Account::fresh().await.open().await.jobs().unwrap();
    for body in ["1", "2", "3"] {
        queue.publish(keyed(body, body)).await.unwrap();
    }
    let leases = queue.receive(2, Duration::ZERO, LEASE).await.unwrap();
    queue.dead_letter(&leases[0].receipt, "given up").await.unwrap();
    assert_eq!(counts(&*queue).await, (2, 1));
}

#[tokio::test]
async fn purge_removes_what_waits_and_what_is_dead_of_one_key() {
    let queue = Account::fresh().await.open().await.jobs().unwrap();
    for key in ["anna", "berta"] {
        queue.publish(keyed(key, "dead")).await.unwrap();
    }
    for lease in queue.receive(2, Duration::ZERO, LEASE).await.unwrap() {
        queue.dead_letter(&lease.receipt, "given up").await.unwrap();
    }
    // More of one key than SQS shows at once.
    for _ in 0..12 {
        queue.publish(keyed("anna", "waiting")).await.unwrap();
    }
    queue.publish(keyed("berta", "stays")).await.unwrap();
    assert_eq!(queue.purge("anna").await.unwrap(), 13);
    assert_eq!(queue.purge("anna").await.unwrap(), 0);
    assert_eq!(counts(&*queue).await, (1, 1));
    let leases = queue.receive(10, Duration::ZERO, LEASE).await.unwrap();
    assert_eq!(leases.iter().map(|lease| &lease.body[..]).collect::<Vec<_>>(), [b"stays"]);
    assert_eq!(queue.dead_letters(None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_dead_letter_can_be_given_another_chance() {
    let queue = Account::fresh().await.open().await.jobs().unwrap();
    let id = queue.publish(keyed("key", "again")).await.unwrap();
    let lease = queue.receive(1, Duration::ZERO, LEASE).await.unwrap().remove(0);
    queue.dead_letter(&lease.receipt, "for now").await.unwrap();
    assert_eq!(queue.redrive(std::slice::from_ref(&id)).await.unwrap(), 1);
    let again = queue.receive(10, Duration::ZERO, LEASE).await.unwrap().remove(0);
    assert_eq!((&again.id, &again.body[..], again.delivery_count), (&id, &b"again"[..], 1));
    assert_eq!((again.ordering_key.as_deref(), again.published_at), (Some("key"), lease.published_at));
    assert_eq!(counts(&*queue).await, (1, 0));
}
