use super::*;

fn parse(url: &str) -> Result<Settings, InvalidSettings> {
    Settings::parse(&SecretString::from(url), PlainText::LoopbackOnly)
}

#[test]
fn every_part_of_a_url_is_read() {
    let settings = parse("rediss://cl%61rity:s3cret%2F@cache.example.org:6380/3").unwrap();
    assert_eq!((&*settings.host, settings.port, settings.database), ("cache.example.org", 6380, 3));
    assert_eq!(settings.user.as_deref(), Some("clarity"));
    assert_eq!(settings.password.as_ref().unwrap().expose_secret(), "s3cret/");
    assert!(settings.is_encrypted);
    settings.validate().unwrap();
    settings.client().unwrap();
}

#[test]
fn a_password_needs_no_user() {
    let settings = parse("redis://:s3cret@127.0.0.1").unwrap();
    assert_eq!((settings.user, settings.port, settings.database), (None, 6379, 0));
    assert_eq!(settings.password.unwrap().expose_secret(), "s3cret");
}

#[test]
fn what_is_wrong_is_named_and_the_password_is_not() {
    for (url, reason) in [
        ("", "cannot be read"),
        ("cache.example.org:6379", "cache.example.org://"),
        ("http://u:s3cret@h", "http://"),
        ("redis:///0", "no host"),
        ("rediss://u:s3cret@h:port", "cannot be read"),
        ("rediss://u:%FFs3cret@h", "password"),
        ("rediss://u:s3cret@h/zero", "database zero"),
        ("rediss://u:s3cret@h/-1", "database -1"),
        ("rediss://u:s3cret@h/#insecure", "always verified"),
        ("rediss://u:s3cret@h/?protocol=resp3", "protocol"),
        ("rediss://u:s3cret@h/?sslrootcert=/no/such/file.pem", "/no/such/file.pem"),
        ("redis://u:s3cret@10.0.0.7", "plain text to 10.0.0.7"),
        ("redis://u:s3cret@cache.example.org", "plain text to cache.example.org"),
    ] {
        let text = parse(url).expect_err("it was taken").to_string();
        assert!(text.contains(reason), "{text:?} does not say {reason:?}");
        assert!(!text.contains("s3cret"), "the password is in {text:?}");
    }
}

#[test]
fn plain_text_leaves_this_machine_only_where_it_was_allowed() {
    let url = SecretString::from("redis://10.0.0.7");
    assert!(Settings::parse(&url, PlainText::Anywhere).is_ok());
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert!(parse(&format!("redis://{host}")).is_ok(), "{host}");
    }
}

#[test]
fn debug_shows_no_password() {
    assert!(!format!("{:?}", parse("rediss://u:s3cret@h").unwrap()).contains("s3cret"));
}

#[test]
fn a_timeout_out_of_range_is_refused() {
    let settings = parse("rediss://h").unwrap();
    for timeout in [Duration::ZERO, Duration::from_secs(61)] {
        let settings = Settings { timeout, ..settings.clone() };
        assert_eq!(settings.validate(), Err(InvalidSettings::Timeout));
    }
}
