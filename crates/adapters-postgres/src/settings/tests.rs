use super::*;

const PASSWORD: &str = "s3cret/p%40ss";

fn parse(url: &str) -> Result<Settings, InvalidSettings> {
    Settings::parse(&SecretString::from(url), PlainText::LoopbackOnly)
}

/// Refused, with this in the text of the error.
#[track_caller]
fn assert_refused(url: &str, reason: &str) {
    let text = parse(url).expect_err("it was taken").to_string();
    assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    assert!(!text.contains("s3cret"), "the password is in {text:?}");
}

#[test]
fn every_part_of_a_url_is_read() {
    let settings = parse(
        "postgresql://cl%61rity:s3cret%2Fp%2540ss@db.example.org:6432/he%61lth?sslmode=verify-full&application_name=worker&connect_timeout=7",
    )
    .unwrap();
    assert_eq!((&*settings.host, settings.port), ("db.example.org", 6432));
    assert_eq!((&*settings.user, &*settings.database), ("clarity", "health"));
    assert_eq!(settings.password.as_ref().unwrap().expose_secret(), PASSWORD);
    assert_eq!((settings.tls.mode, &*settings.application_name), (TlsMode::VerifyFull, "worker"));
    assert_eq!(settings.connect_timeout, Duration::from_secs(7));
    assert_eq!((settings.connections_min, settings.connections_max), (2, 10));
    settings.validate().unwrap();
}

#[test]
fn without_a_mode_only_this_machine_is_trusted() {
    for (host, mode) in [
        ("db.example.org", TlsMode::VerifyFull),
        ("10.0.0.7", TlsMode::VerifyFull),
        ("localhost", TlsMode::Prefer),
        ("127.0.0.1", TlsMode::Prefer),
        ("[::1]", TlsMode::Prefer),
        ("%2Fvar%2Frun%2Fpostgresql", TlsMode::Prefer),
    ] {
        assert_eq!(parse(&format!("postgres://u@{host}/d")).unwrap().tls.mode, mode, "{host}");
    }
}

#[test]
fn what_is_wrong_is_named_and_the_password_is_not() {
    for (url, reason) in [
        ("", "cannot be read"),
        ("db.example.org/health", "cannot be read"),
        ("mysql://u:s3cret@h/d", "mysql://"),
        ("postgres:///d", "no host"),
        ("postgres://h/d", "no user"),
        ("postgres://u:s3cret@h", "no database"),
        ("postgres://u:s3cret@h:port/d", "cannot be read"),
        ("postgres://u:%FFs3cret@h/d", "password"),
        ("postgres://u:s3cret@h/d?sslmode=allow", "sslmode is allow"),
        ("postgres://u:s3cret@h/d?sslmode=", "sslmode is "),
        ("postgres://u:s3cret@h/d?sslmode=require&sslmode=disable", "twice"),
        ("postgres://u:s3cret@h/d?ssl=true", "ssl, which is not known"),
        ("postgres://u:s3cret@h/d?sslrootcert=/no/such/file.pem", "/no/such/file.pem"),
        ("postgres://u:s3cret@h/d?connect_timeout=soon", "connect_timeout is soon"),
        ("postgres://u:s3cret@h/d?connect_timeout=0", "connect_timeout is 0"),
        ("postgres://u:s3cret@db.example.org/d?sslmode=disable", "plain text to db.example.org"),
        ("postgres://u:s3cret@10.0.0.7/d?sslmode=prefer", "plain text to 10.0.0.7"),
    ] {
        assert_refused(url, reason);
    }
}

#[test]
fn plain_text_leaves_this_machine_only_where_it_was_allowed() {
    let url = SecretString::from("postgres://u:p@10.0.0.7/d?sslmode=disable");
    assert!(Settings::parse(&url, PlainText::Anywhere).is_ok());
    assert!(parse("postgres://u:p@127.0.0.1/d?sslmode=disable").is_ok());
    assert!(parse("postgres://u:p@10.0.0.7/d?sslmode=require").is_ok());
}

#[test]
fn an_authority_that_is_named_is_asked() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let settings = parse(&format!("postgres://u@h/d?sslmode=require&sslrootcert={file}")).unwrap();
    assert_eq!(settings.tls.mode, TlsMode::VerifyCa);
}

#[test]
fn debug_shows_no_password() {
    let settings = parse("postgres://u:s3cret@h/d").unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[test]
fn what_is_out_of_range_is_named() {
    let settings = parse("postgres://u@h/d").unwrap();
    let none = Settings { connections_max: 0, ..settings.clone() };
    assert_eq!(none.validate(), Err(InvalidSettings::OutOfRange("connections_max", 1, CONNECTIONS_MAX)));
    let more = Settings { connections_min: 11, ..settings };
    assert_eq!(more.validate(), Err(InvalidSettings::OutOfRange("connections_min", 0, 10)));
}
