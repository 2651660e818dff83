//! Several processes on one data folder, and what a crash or a hand leaves in it.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use futures::future::join_all;
use ports::{ErrorKind, IdentityProvider, TokenVerifier};
use secrecy::ExposeSecret;

use super::{Home, open, settings, sign_in, sign_up, verifies};

const ADDRESS: &str = "anna@example.org";
/// Of one revocation in the file.
const RECORD: u64 = 40;

impl Home {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("identity").join(name)
    }
}

#[tokio::test]
async fn processes_that_start_at_once_agree_on_one_key() {
    let home = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(conformance::ManualClock::default());
    let all = join_all((0..8).map(|_| open(home.path(), settings(), &clock))).await;
    sign_up(&all[0], ADDRESS).await;
    let mut documents = Vec::new();
    for identity in &all {
        let tokens = sign_in(identity, ADDRESS).await;
        for verifier in &all {
            assert!(verifies(verifier, tokens.access_token.expose_secret()).await);
        }
        documents.push(identity.jwks().await.unwrap().unwrap());
    }
    documents.dedup();
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn only_the_owner_can_read_the_keys() {
    let home = Home::new().await;
    home.identity.rotate_keys().await.unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.file("keys.json")), 0o600);
    assert_eq!(mode(home.file("revocations")), 0o600);
    assert_eq!(mode(home.file("")), 0o700);
}

#[tokio::test]
async fn a_sign_out_counts_at_once_in_another_process_and_after_a_restart() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    assert!(verifies(&other, home.token()).await);
    home.identity.sign_out(home.tokens.user_id, home.tokens.session_id).await.unwrap();
    assert!(!verifies(&other, home.token()).await);
    let restarted = home.elsewhere().await;
    assert!(!verifies(&restarted, home.token()).await);
    // The restart put a new file in place of the one the others read.
    let tokens = sign_in(&restarted, ADDRESS).await;
    restarted.sign_out(tokens.user_id, tokens.session_id).await.unwrap();
    for identity in [&home.identity, &other, &restarted] {
        assert!(!verifies(identity, tokens.access_token.expose_secret()).await);
        assert!(!verifies(identity, home.token()).await);
    }
}

#[tokio::test]
async fn disabling_and_deleting_count_at_once_in_another_process() {
    let home = Home::new().await;
    let (other, user_id) = (home.elsewhere().await, home.tokens.user_id);
    home.identity.set_disabled(user_id, true).await.unwrap();
    assert!(!verifies(&other, home.token()).await);
    other.set_disabled(user_id, false).await.unwrap();
    assert!(verifies(&home.identity, home.token()).await);
    other.delete(user_id).await.unwrap();
    assert!(!verifies(&home.identity, home.token()).await);
    assert_eq!(home.identity.profile(user_id).await.unwrap(), None);
}

#[tokio::test]
async fn a_rotation_counts_in_a_process_that_already_runs() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    home.identity.rotate_keys().await.unwrap();
    let tokens = sign_in(&home.identity, ADDRESS).await;
    assert!(verifies(&other, tokens.access_token.expose_secret()).await);
    assert!(verifies(&other, home.token()).await);
    // The other process signs with the new key as well, or its tokens would outlive the old one.
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    let others = sign_in(&other, ADDRESS).await;
    assert_eq!(header(others.access_token.expose_secret()), header(tokens.access_token.expose_secret()));
    assert_ne!(header(home.token()), header(tokens.access_token.expose_secret()));
    assert_eq!(other.jwks().await.unwrap().unwrap()["keys"].as_array().unwrap().len(), 2);

    home.clock.advance_by(Duration::from_mins(63));
    home.identity.rotate_keys().await.unwrap();
    assert_eq!(other.jwks().await.unwrap().unwrap()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_revocation_that_was_torn_by_a_crash_is_overwritten() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    let mut file = File::options().append(true).open(home.file("revocations")).unwrap();
    file.write_all(&[7; 25]).unwrap();
    assert!(verifies(&other, home.token()).await);
    home.identity.sign_out(home.tokens.user_id, home.tokens.session_id).await.unwrap();
    assert!(!verifies(&other, home.token()).await);
    assert_eq!(fs::metadata(home.file("revocations")).unwrap().len(), RECORD);

    file.write_all(&[0; 90]).unwrap();
    let restarted = home.elsewhere().await;
    assert!(!verifies(&restarted, home.token()).await);
    assert_eq!(fs::metadata(home.file("revocations")).unwrap().len(), RECORD);
}

#[tokio::test]
async fn revocations_go_when_what_they_revoke_has_expired() {
    let home = Home::new().await;
    home.identity.sign_out(home.tokens.user_id, home.tokens.session_id).await.unwrap();
    home.clock.advance_by(Duration::from_mins(59));
    home.elsewhere().await;
    assert_eq!(fs::metadata(home.file("revocations")).unwrap().len(), RECORD);
    home.clock.advance_by(Duration::from_mins(4));
    home.elsewhere().await;
    assert_eq!(fs::metadata(home.file("revocations")).unwrap().len(), 0);
}

#[tokio::test]
async fn where_revocations_were_lost_every_earlier_token_is_void() {
    let home = Home::new().await;
    home.identity.sign_out(home.tokens.user_id, home.tokens.session_id).await.unwrap();
    let live = sign_in(&home.identity, ADDRESS).await;
    fs::remove_file(home.file("revocations")).unwrap();
    let refused = home.identity.verify(live.access_token.expose_secret()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);

    let restarted = home.elsewhere().await;
    for identity in [&home.identity, &restarted] {
        assert!(!verifies(identity, home.token()).await);
        assert!(!verifies(identity, live.access_token.expose_secret()).await);
    }
    let renewed = restarted.refresh(&live.refresh_token, None).await.unwrap();
    assert!(verifies(&home.identity, renewed.access_token.expose_secret()).await);
}

#[tokio::test]
async fn a_damaged_revocation_lets_nobody_in_and_voids_every_token_at_the_next_start() {
    let home = Home::new().await;
    for _ in 0..2 {
        let tokens = sign_in(&home.identity, ADDRESS).await;
        home.identity.sign_out(tokens.user_id, tokens.session_id).await.unwrap();
    }
    let mut bytes = fs::read(home.file("revocations")).unwrap();
    bytes[3] ^= 1;
    fs::write(home.file("damaged"), &bytes).unwrap();
    fs::rename(home.file("damaged"), home.file("revocations")).unwrap();
    assert_eq!(home.identity.verify(home.token()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let restarted = home.elsewhere().await;
    assert!(!verifies(&restarted, home.token()).await);
    assert!(verifies(&restarted, sign_in(&restarted, ADDRESS).await.access_token.expose_secret()).await);
}

#[tokio::test]
async fn a_crash_between_the_two_halves_of_letting_someone_in_again_heals_at_the_next_sign_in() {
    let home = Home::new().await;
    home.identity.set_disabled(home.tokens.user_id, true).await.unwrap();
    let barred = fs::read(home.file("revocations")).unwrap();
    home.identity.set_disabled(home.tokens.user_id, false).await.unwrap();
    fs::write(home.file("earlier"), &barred).unwrap();
    fs::rename(home.file("earlier"), home.file("revocations")).unwrap();
    let restarted = home.elsewhere().await;
    assert!(!verifies(&restarted, home.token()).await);
    let tokens = sign_in(&restarted, ADDRESS).await;
    assert!(verifies(&restarted, tokens.access_token.expose_secret()).await);
    assert!(verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn accounts_survive_a_restart() {
    let home = Home::new().await;
    let restarted = home.elsewhere().await;
    assert!(verifies(&restarted, home.token()).await);
    let tokens = restarted.refresh(&home.tokens.refresh_token, None).await.unwrap();
    assert_eq!((tokens.user_id, tokens.session_id), (home.tokens.user_id, home.tokens.session_id));
}

#[tokio::test]
async fn secrets_are_not_in_the_database_as_they_are() {
    let home = Home::new().await;
    home.identity.forgot(&super::email("nobody@example.org")).await.unwrap();
    let mut bytes = Vec::new();
    for entry in fs::read_dir(home.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(fs::read(path).unwrap());
        }
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(ADDRESS), "the files that were searched are the right ones");
    for secret in
        [super::PASSWORD, home.tokens.refresh_token.expose_secret(), home.token(), "nobody@example.org"]
    {
        assert!(!holds(secret));
    }
}
