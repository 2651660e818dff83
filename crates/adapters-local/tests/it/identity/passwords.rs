//! Passwords that nobody may choose.

use std::{fs, sync::Arc};

use adapters_local::{
    SystemIds,
    identity::{LocalIdentity, Settings},
};
use conformance::ManualClock;
use domain::ids::UserId;
use ports::{ErrorKind, IdSource, IdentityProvider, NewUser, PasswordFault, Result, password_fault};

use super::{PASSWORD, email, in_memory, latest_code, secret, settings};

/// As lists have them: of both forms, in no order, with either end of line and without one at the last. The hash is that of
/// `hunter2 hunter2`.
const LIST: &[u8] = b"zzzzzzzz\r\nletmein letmein\n\n\
    59F82E9E7C06A040FD3664C3E4BE5BB2653EB008:12\n\
    caf\xe9 caf\xe9\nqwertyuiop";

async fn sign_up(identity: &LocalIdentity, address: &str, password: &str) -> Result<()> {
    let user_id = UserId(SystemIds.next());
    let user = NewUser { user_id, email: email(address), password: secret(password), display_name: None };
    identity.sign_up(user).await.map(drop)
}

fn with_list(list: &[u8]) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("breached.txt");
    fs::write(&path, list).unwrap();
    (folder, Settings { breached_passwords: Some(path), ..settings() })
}

#[tokio::test]
async fn a_breached_password_is_refused_at_sign_up_and_at_reset() {
    let (_folder, settings) = with_list(LIST);
    let identity = in_memory(settings, &Arc::default());
    for password in ["zzzzzzzz", "letmein letmein", "hunter2 hunter2", "qwertyuiop"] {
        let refused = sign_up(&identity, "anna@example.org", password).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(password_fault(&refused), Some(PasswordFault::Breached), "{password}");
    }
    // What differs from them is another password.
    for (number, password) in ["zzzzzzzzz", "Zzzzzzzz", "letmein letmein ", "qwertyuiop\r"].iter().enumerate()
    {
        sign_up(&identity, &format!("anna{number}@example.org"), password).await.unwrap();
    }
    let address = email("anna0@example.org");
    identity.forgot(&address).await.unwrap();
    let code = latest_code(&identity, &address).await.unwrap();
    let refused = identity.reset(&address, &code, &secret("letmein letmein")).await.unwrap_err();
    assert_eq!(password_fault(&refused), Some(PasswordFault::Breached));
    identity.reset(&address, &code, &secret(PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn every_password_of_a_long_list_is_found() {
    let list: Vec<_> = (0..20_000).map(|number| format!("password {number}")).collect();
    let (_folder, settings) = with_list(list.join("\n").as_bytes());
    let identity = in_memory(settings, &Arc::default());
    for number in (0..20_000).step_by(371).chain([19_999]) {
        let refused =
            sign_up(&identity, "anna@example.org", &format!("password {number}")).await.unwrap_err();
        assert_eq!(password_fault(&refused), Some(PasswordFault::Breached), "{number}");
    }
    sign_up(&identity, "anna@example.org", "password 20000").await.unwrap();
}

#[test]
fn a_list_that_is_not_there_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { breached_passwords: Some(folder.path().join("none.txt")), ..settings() };
    let clock = Arc::new(ManualClock::default());
    let error = LocalIdentity::memory(settings, clock, Arc::new(SystemIds)).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.kind() == ErrorKind::InvalidInput && cause.contains("none.txt"), "{error}: {cause}");
}
