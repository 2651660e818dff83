//! What is left of a user who was deleted: nothing.

use std::time::Duration;

use adapters_local::identity::LocalIdentity;
use conformance::Authenticator;
use ports::{Clock, IdentityProvider, MultiFactor, ProfileUpdate, SignIn, SignInContext};
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{Home, PASSWORD, email, secret, sign_in, sign_up};

const ADDRESS: &str = "anna@example.org";

/// The rows of the table of accounts, by kind.
async fn rows(home: &Home) -> Vec<String> {
    let files = std::fs::read_dir(home.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let database = files
        .into_iter()
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")));
    let options = SqliteConnectOptions::new().filename(database.unwrap()).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let rows =
        sqlx::query("SELECT kind FROM identity ORDER BY kind").fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Leaves every kind of trace of a user.
async fn live(home: &Home, identity: &LocalIdentity) {
    let user_id = home.tokens.user_id;
    identity.refresh(&home.tokens.refresh_token, None).await.unwrap();
    sign_in(identity, ADDRESS).await;
    identity.forgot(&email(ADDRESS)).await.unwrap();
    let moved = email("anna@new.example.org");
    let update = ProfileUpdate { email: Some(moved.clone()), ..ProfileUpdate::default() };
    identity.update(user_id, update).await.unwrap();
    identity.forgot(&moved).await.unwrap();
    identity.resend(&moved).await.unwrap();
    let app = Authenticator::new(&identity.set_up(user_id).await.unwrap().secret);
    identity.verify(user_id, &app.code(Clock::now(&*home.clock))).await.unwrap();
    for _ in 0..3 {
        let from = SignInContext::default();
        let challenge = identity.sign_in(&moved, &secret(PASSWORD), &from).await.unwrap();
        assert!(matches!(challenge, SignIn::Challenge { .. }));
        identity.sign_in(&moved, &secret("wrong password"), &from).await.unwrap_err();
    }
}

#[tokio::test]
async fn deleting_a_user_leaves_no_row_of_them() {
    let home = Home::new().await;
    live(&home, &home.identity).await;
    let mut kinds = rows(&home).await;
    kinds.dedup();
    let all = [
        "address",
        "challenge",
        "code",
        "failures",
        "mail",
        "refresh_token",
        "second_factor",
        "session",
        "user",
    ];
    assert_eq!(kinds, all);
    home.identity.delete(home.tokens.user_id).await.unwrap();
    assert_eq!(rows(&home).await, Vec::<String>::new());
}

#[tokio::test]
async fn deleting_a_user_leaves_the_rows_of_others() {
    let home = Home::new().await;
    sign_up(&home.identity, "boris@example.org").await;
    let tokens = sign_in(&home.identity, "boris@example.org").await;
    home.clock.advance_by(Duration::from_secs(1));
    live(&home, &home.identity).await;
    home.identity.delete(home.tokens.user_id).await.unwrap();
    assert_eq!(rows(&home).await, ["address", "refresh_token", "session", "user"]);
    home.identity.refresh(&tokens.refresh_token, None).await.unwrap();
}
