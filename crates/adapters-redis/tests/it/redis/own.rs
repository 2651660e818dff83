//! What only this adapter promises.

use std::time::{Duration, Instant};

use adapters_redis::{PlainText, RedisSharedState, Settings};
use harness::Redis;
use ports::{ErrorKind, SharedKey, SharedState as _};
use secrecy::SecretString;

const AGE: Duration = Duration::from_hours(1);

fn settings(url: &str) -> Settings {
    Settings::parse(&SecretString::from(url), PlainText::LoopbackOnly).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_unavailable_soon_and_comes_back_by_itself() {
    let mut server = Redis::start().unwrap();
    let state = RedisSharedState::new(&settings(&server.url())).unwrap();
    let key = SharedKey::of("test", "away");
    assert!(state.take(key, 3, AGE).await.unwrap().allowed);

    server.stop().unwrap();
    for _ in 0..5 {
        let begun = Instant::now();
        for error in [
            state.take(key, 3, AGE).await.unwrap_err(),
            state.is_marked(key).await.unwrap_err(),
            state.cached(key).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    }

    server.resume().unwrap();
    let begun = Instant::now();
    // It kept nothing, and knows none of the scripts any more.
    while state.take(key, 3, AGE).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come back");
    }
    state.ping().await.unwrap();
    state.mark(key, AGE).await.unwrap();
    assert!(state.is_marked(key).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_unavailable_in_time() {
    // It takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&format!("redis://{}", mute.local_addr().unwrap()));
    settings.timeout = Duration::from_millis(300);
    let state = RedisSharedState::new(&settings).unwrap();
    let begun = Instant::now();
    let error = state.is_marked(SharedKey::of("test", "mute")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_and_never_shown() {
    let server = Redis::start_with(&["--requirepass", "s3cret"]).unwrap();
    let key = SharedKey::of("test", "password");
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let with =
        |login: &str| RedisSharedState::new(&settings(&format!("redis://{login}127.0.0.1:{port}"))).unwrap();
    assert!(!with(":s3cret@").is_marked(key).await.unwrap());
    for wrong in ["", ":other-s3cret@"] {
        let error = with(wrong).is_marked(key).await.unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    }
    // An operator sets it right at the server.
    let state = with(":other-s3cret@");
    assert!(state.is_marked(key).await.is_err());
    let client = redis::Client::open(format!("redis://:s3cret@127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut change = redis::cmd("CONFIG");
    change.arg("SET").arg("requirepass").arg("other-s3cret");
    change.exec_async(&mut connection).await.unwrap();
    assert!(!state.is_marked(key).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_for_longer_than_it_is_needed() {
    let server = Redis::start().unwrap();
    let state = RedisSharedState::new(&settings(&server.url())).unwrap();
    let (key, ttl) = (SharedKey::of("test", "anna@example.org"), Duration::from_millis(300));
    state.take(key, 3, ttl).await.unwrap();
    state.mark(key, ttl).await.unwrap();
    state.lock(key, uuid::Uuid::from_u128(7), ttl).await.unwrap();
    state.cache(key, "value".into(), ttl).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| name.starts_with("clarity:") && !name.contains("anna")), "{names:?}");
    tokio::time::sleep(3 * ttl).await;
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(names, Vec::<String>::new());
}
