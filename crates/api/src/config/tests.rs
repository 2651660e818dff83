use std::fs;

use secrecy::ExposeSecret;

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn with_env(env: &[(&str, &str)]) -> Sources {
    Sources { env: pairs(env), ..Sources::default() }
}

fn with_flags(flags: &[(&str, &str)]) -> Sources {
    Sources { overrides: pairs(flags), ..Sources::default() }
}

fn faults(sources: &Sources) -> Vec<Fault> {
    Config::load(sources).expect_err("the configuration has faults").0
}

/// The only fault of `sources`.
fn fault(sources: &Sources) -> Fault {
    let mut faults = faults(sources);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

fn keys(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.key.as_str()).collect()
}

/// What production needs to start, as environment variables.
const PRODUCTION: [(&str, &str); 7] = [
    ("CLARITY_PROFILE", "production"),
    ("CLARITY__PROVIDERS__IDENTITY", "aws"),
    ("AWS_REGION", "eu-central-1"),
    ("CLARITY__AWS__USER_POOL_ID", "eu-central-1_AbCdEfGhI"),
    ("CLARITY__AWS__CLIENT_ID", "6f1c"),
    ("CLARITY__SERVER__PUBLIC_URL", "https://api.example.org"),
    ("CLARITY__TELEMETRY__USER_HASH_KEY", "9f86d081884c7d659a2feaa0c55ad015"),
];

fn production(more: &[(&str, &str)]) -> Sources {
    with_env(&[&PRODUCTION, more].concat())
}

#[test]
fn nothing_said_is_development_on_loopback() {
    let loaded = Config::load(&Sources::default()).unwrap();
    assert_eq!(loaded.config.profile, Profile::Development);
    assert!(loaded.config.server.listen.ip().is_loopback());
    assert!(loaded.config.identity.self_sign_up);
    assert_eq!(loaded.provenance("server.workers"), Some("built-in default.toml"));
    assert_eq!(loaded.provenance("identity.self_sign_up"), Some("built-in development.toml"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn an_address_that_others_reach_needs_a_named_profile() {
    let mut sources = with_flags(&[("server.listen", "0.0.0.0:8000")]);
    assert_eq!(fault(&sources).key, "profile");
    sources.profile = Some("development".to_owned());
    assert_eq!(Config::load(&sources).unwrap().config.profile, Profile::Development);
}

#[test]
fn every_profile_starts_from_defaults_that_are_valid() {
    let staging =
        Config::load(&Sources { profile: Some("staging".to_owned()), ..Sources::default() }).unwrap();
    assert_eq!(staging.config.profile, Profile::Staging);
    assert!(!staging.config.identity.log_codes);
    let production = Config::load(&production(&[])).unwrap();
    assert_eq!(production.config.profile, Profile::Production);
    assert_eq!(production.config.server.lame_duck_ms, 10_000);
}

#[test]
fn localstack_is_development_on_what_stands_in_for_aws() {
    let sources = Sources { profile: Some("localstack".to_owned()), ..Sources::default() };
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.profile, Profile::Localstack);
    assert!(loaded.config.identity.self_sign_up && loaded.config.aws.path_style);
    assert_eq!(loaded.config.providers.health_data, Provider::Aws);
    assert_eq!(loaded.provenance("aws.s3_endpoint"), Some("built-in localstack.toml"));
    assert_eq!(loaded.provenance("identity.self_sign_up"), Some("built-in development.toml"));
}

#[test]
fn each_source_overrides_the_ones_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let default = folder.path().join("default.toml");
    let development = folder.path().join("development.toml");
    let mut sources = Sources { config_dir: Some(folder.path().to_owned()), ..Sources::default() };

    fs::write(&default, "[server]\nworkers = 3\nlame_duck_ms = 77").unwrap();
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.server.workers, 3);
    assert_eq!(loaded.provenance("server.workers"), default.to_str());
    assert_eq!(
        loaded.config.server.lame_duck_ms, 0,
        "the profile's built-in file is stronger than any default.toml"
    );

    fs::write(&development, "[server]\nworkers = 4").unwrap();
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.server.workers, 4);
    assert_eq!(loaded.provenance("server.workers"), development.to_str());

    sources.env = pairs(&[("CLARITY__SERVER__WORKERS", "5")]);
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.server.workers, 5);
    assert_eq!(loaded.provenance("server.workers"), Some("environment variable CLARITY__SERVER__WORKERS"));

    sources.overrides = pairs(&[("server.workers", "6")]);
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.server.workers, 6);
    assert_eq!(loaded.provenance("server.workers"), Some("command line"));
}

#[test]
fn a_flag_names_the_profile_before_the_environment_does() {
    let mut sources = with_env(&[("CLARITY_PROFILE", "production")]);
    sources.profile = Some("staging".to_owned());
    assert_eq!(Config::load(&sources).unwrap().config.profile, Profile::Staging);
}

#[test]
fn an_unknown_profile_is_a_fault_with_the_names_of_the_known() {
    let fault = fault(&with_env(&[("CLARITY_PROFILE", "prod")]));
    assert_eq!(
        (fault.key.as_str(), fault.source.as_str()),
        ("profile", "environment variable CLARITY_PROFILE")
    );
    assert!(fault.problem.contains("development, localstack, staging, production"), "{fault}");
}

#[test]
fn environment_text_is_read_as_what_the_key_is() {
    let loaded = Config::load(&with_env(&[
        ("CLARITY__IDENTITY__SELF_SIGN_UP", "false"),
        ("CLARITY__MEASURES__PAT_COVERAGE_MIN", "1"),
        ("CLARITY__INSIGHT__GEMINI__PROJECT", "123456"),
        ("CLARITY__INSIGHT__GEMINI__API_KEY", "0042"),
    ]))
    .unwrap();
    assert!(!loaded.config.identity.self_sign_up);
    assert!((loaded.config.measures.pat_coverage_min - 1.0).abs() < f64::EPSILON);
    assert_eq!(loaded.config.insight.gemini.project.as_deref(), Some("123456"));
    let key = loaded.config.insight.gemini.api_key.unwrap();
    assert_eq!(key.expose_secret(), "0042", "digits of a secret are no number");
}

#[test]
fn usual_names_set_their_keys_and_clarity_names_win_over_them() {
    let usual = [("RUST_LOG", "debug"), ("ORT_DYLIB_PATH", "/opt/libonnxruntime.so"), ("PORT", "9000")];
    let config = Config::load(&with_env(&usual)).unwrap().config;
    assert_eq!(config.telemetry.log_level, "debug");
    assert_eq!(config.inference.library, Some(PathBuf::from("/opt/libonnxruntime.so")));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9000", "PORT says nothing about the host");

    let config = Config::load(&with_env(&[("CLARITY__TELEMETRY__LOG_LEVEL", "warn"), ("RUST_LOG", "debug")]))
        .unwrap()
        .config;
    assert_eq!(config.telemetry.log_level, "warn");
}

#[test]
fn a_port_that_is_none_is_a_fault_of_port() {
    let fault = fault(&with_env(&[("PORT", "http")]));
    assert_eq!((fault.key.as_str(), fault.source.as_str()), ("server.listen", "environment variable PORT"));
}

#[test]
fn an_empty_usual_name_says_nothing() {
    let loaded = Config::load(&with_env(&[("PORT", ""), ("RUST_LOG", ""), ("REDIS_URL", "")])).unwrap();
    assert_eq!(loaded.provenance("telemetry.log_level"), Some("built-in default.toml"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn usual_names_that_nothing_uses_are_warned_of_without_their_value() {
    let loaded =
        Config::load(&with_env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@127.0.0.1:4318")]))
            .unwrap();
    assert_eq!(loaded.warnings, ["OTEL_EXPORTER_OTLP_ENDPOINT is set, but no linked adapter uses it"]);
}

#[test]
fn a_setting_written_with_one_underscore_is_warned_of() {
    let loaded =
        Config::load(&with_env(&[("CLARITY_SERVER_LISTEN", "0.0.0.0:1"), ("CLARITY_DRILL_KILLS", "3")]))
            .unwrap();
    assert_eq!(loaded.warnings, ["CLARITY_SERVER_LISTEN is not read; was CLARITY__SERVER__LISTEN meant?"]);
}

#[test]
fn all_faults_of_all_sources_are_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("default.toml");
    fs::write(&file, "[server]\nlistne = \"127.0.0.1:1\"\nworkers = \"two\"\n\n[sever]\nport = 1\n").unwrap();
    let sources = Sources {
        config_dir: Some(folder.path().to_owned()),
        env: pairs(&[("CLARITY__WORKER__LEASE_MS", "soon"), ("CLARITY__INSIGHT__WRITER", "gemni")]),
        overrides: pairs(&[("inference.queue_depth", "0")]),
        ..Sources::default()
    };
    let faults = faults(&sources);
    let mut found = keys(&faults);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "inference.queue_depth",
            "insight.writer",
            "server.listne",
            "server.workers",
            "sever",
            "worker.lease_ms"
        ]
    );
    let text = Faults(faults).to_string();
    assert_eq!(text.lines().count(), 6);
    for line in [
        format!("server.listne: there is no such key; did you mean `listen`? [{}]", file.display()),
        format!("server.workers: expected a whole number, not negative, found string \"two\" [{}]", file.display()),
        format!("sever: there is no such key; did you mean `server`? [{}]", file.display()),
        "worker.lease_ms: expected a whole number, not negative, found string \"soon\" [environment variable CLARITY__WORKER__LEASE_MS]".to_owned(),
        "insight.writer: `gemni` is not one of template, gemini, bedrock, openai; did you mean `gemini`? [environment variable CLARITY__INSIGHT__WRITER]".to_owned(),
        "inference.queue_depth: 0 is out of range; it must be from 1 to 65536 [command line]".to_owned(),
    ] {
        assert!(text.lines().any(|candidate| candidate == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn an_unknown_environment_key_is_a_fault_of_its_variable() {
    let fault = fault(&with_env(&[("CLARITY__SERVER__LISTNE", "127.0.0.1:1")]));
    assert_eq!(
        (fault.key.as_str(), fault.source.as_str()),
        ("server.listne", "environment variable CLARITY__SERVER__LISTNE")
    );
}

#[test]
fn a_value_in_place_of_a_section_is_a_fault_and_stays_unseen() {
    let fault = fault(&with_env(&[("CLARITY__TELEMETRY", "hunter2")]));
    assert_eq!(fault.key, "telemetry");
    assert!(!fault.to_string().contains("hunter2"), "{fault}");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line_but_not_its_text() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("default.toml"), "[telemetry]\nuser_hash_key = hunter2\n").unwrap();
    let fault = fault(&Sources { config_dir: Some(folder.path().to_owned()), ..Sources::default() });
    assert!(fault.source.ends_with("default.toml"), "{fault}");
    assert!(fault.problem.contains("line 2"), "{fault}");
    assert!(!fault.to_string().contains("hunter2"), "{fault}");
}

#[test]
fn a_named_folder_without_configuration_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let fault = fault(&Sources { config_dir: Some(folder.path().to_owned()), ..Sources::default() });
    assert_eq!(fault.key, "config");
}

#[test]
fn secrets_are_hidden_wherever_the_configuration_shows() {
    let env = [("GEMINI_API_KEY", "hunter2-gemini"), ("CLARITY__TELEMETRY__USER_HASH_KEY", "hunter2-hash")];
    let loaded = Config::load(&with_env(&env)).unwrap();
    let shown = loaded.show();
    assert_eq!(shown["settings"]["telemetry.user_hash_key"]["value"], "***");
    assert_eq!(shown["settings"]["insight.gemini.api_key"]["source"], "environment variable GEMINI_API_KEY");
    assert!(!format!("{shown} {loaded:?}").contains("hunter2"));
}

#[test]
fn every_secret_is_known_as_one() {
    // What is a `SecretString` prints as such; each must also be among the keys that `show` hides.
    let env = decode::SECRETS
        .map(|key| (format!("CLARITY__{}", key.to_uppercase().replace('.', "__")), "0".repeat(32)));
    let loaded = Config::load(&Sources { env: env.to_vec(), ..Sources::default() }).unwrap();
    let printed = format!("{:?}", loaded.config);
    assert_eq!(printed.matches("SecretBox").count(), decode::SECRETS.len());
    let sections = include_str!("sections.rs");
    assert_eq!(sections.matches("Option<SecretString>").count(), decode::SECRETS.len());
}

#[test]
fn settings_that_do_not_fit_one_another_are_faults() {
    for (flags, key) in [
        ([("worker.heartbeat_ms", "20000"), ("worker.lease_ms", "30000")], "worker.heartbeat_ms"),
        ([("worker.retry_base_ms", "9000"), ("worker.retry_max_ms", "8000")], "worker.retry_base_ms"),
        (
            [("measures.circadian_days", "3"), ("measures.circadian_days_min", "4")],
            "measures.circadian_days_min",
        ),
        ([("server.lame_duck_ms", "9000"), ("server.shutdown_timeout_ms", "9000")], "server.lame_duck_ms"),
        (
            [("identity.access_token_lifetime_s", "900"), ("identity.refresh_token_lifetime_s", "600")],
            "identity.access_token_lifetime_s",
        ),
        (
            [("identity.access_token_lifetime_s", "900"), ("identity.session_idle_s", "899")],
            "identity.session_idle_s",
        ),
    ] {
        assert_eq!(fault(&with_flags(&flags)).key, key);
    }
}

#[test]
fn values_out_of_range_or_form_are_faults() {
    for (key, value) in [
        ("server.workers", "0"),
        ("server.listen", "localhost"),
        ("server.public_url", "api.example.org"),
        ("server.upload_bytes_max", "10"),
        ("identity.issuer", " "),
        ("measures.pat_coverage_min", "1.01"),
        ("measures.pat_coverage_min", "NaN"),
        ("telemetry.log_level", "info,sqlx=loudly"),
        ("inference.execution_provider", "gpu"),
        ("inference.queue_rows_max", "1"),
        ("inference.signing_key", "not a PEM"),
        ("limits.uploads_per_hour", "-1"),
    ] {
        assert_eq!(fault(&with_flags(&[(key, value)])).key, key, "{value}");
    }
}

#[test]
fn screening_rules_are_a_list_that_is_checked_whole() {
    let rule = "id=\"a\",screen=\"mania\",input=\"total_sleep_time\",unit=\"min\",comparison=\"at_most\",threshold=180.0,\
                nights=7,nights_needed=5,nights_met=4,alert=\"low\",citation=\"DSM-5\"";
    let with = |rules: &str| with_flags(&[("measures.screening", rules)]);
    assert!(Config::load(&with_flags(&[])).unwrap().config.measures.screening.is_empty());
    let loaded = Config::load(&with(&format!("[{{{rule}}}]"))).unwrap();
    assert_eq!(loaded.config.measures.screening.as_slice()[0].id, "a");
    for (old, new, says) in [
        ("nights_met=4", "nights_met=6", "nights_met <= nights_needed"),
        ("total_sleep_time", "mood", "no night or day has a measure `mood`"),
        ("\"min\"", "\"h\"", "is in `min`, not in `h`"),
        (",alert=\"low\"", "", "alert"),
        ("threshold", "treshold", "treshold"),
    ] {
        let fault = fault(&with(&format!("[{{{}}}]", rule.replace(old, new))));
        assert_eq!(fault.key, "measures.screening");
        assert!(fault.problem.contains(says), "{fault}");
    }
    let twice = fault(&with(&format!("[{{{rule}}},{{{rule}}}]")));
    assert!(twice.problem.contains("there twice"), "{twice}");
}

#[test]
fn a_list_of_breached_passwords_that_cannot_be_read_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("breached.txt");
    let key = "identity.breached_passwords_file";
    for wrong in [&list, &folder.path().to_owned()] {
        assert_eq!(fault(&with_flags(&[(key, wrong.to_str().unwrap())])).key, key);
    }
    std::fs::write(&list, "password\n").unwrap();
    let loaded = Config::load(&with_flags(&[(key, list.to_str().unwrap())])).unwrap();
    assert_eq!(loaded.config.identity.breached_passwords_file, Some(list));
}

#[test]
fn a_provider_that_is_not_linked_names_the_feature_to_build_with() {
    let mut sources = with_env(&[("CLARITY__PROVIDERS__OBJECTS", "gcp")]);
    assert_eq!(Config::load(&sources).unwrap().config.providers.objects, Provider::Gcp);
    sources.linked = Some(vec![Provider::Local]);
    let fault = fault(&sources);
    assert_eq!(fault.key, "providers.objects");
    assert!(fault.problem.contains("--features gcp"), "{fault}");
    sources.linked = Some(vec![Provider::Local, Provider::Gcp]);
    assert!(Config::load(&sources).is_ok());
}

#[test]
fn health_facts_go_only_where_a_contract_covers_them() {
    let gemini = [
        ("insight.writer", "gemini"),
        ("insight.gemini.project", "p"),
        ("insight.gemini.location", "europe-west4"),
    ];
    assert_eq!(fault(&with_flags(&gemini)).key, "insight.gemini.covered");
    let covered = [&gemini[..], &[("insight.gemini.covered", "true")]].concat();
    assert!(Config::load(&with_flags(&covered)).is_ok());
}

#[test]
fn each_gemini_route_needs_its_own_settings() {
    let gemini = [("insight.writer", "gemini"), ("insight.gemini.covered", "true")];
    assert_eq!(keys(&faults(&with_flags(&gemini))), ["insight.gemini.project", "insight.gemini.location"]);
    let studio = [&gemini[..], &[("insight.gemini.route", "ai_studio")]].concat();
    let mut sources = with_flags(&studio);
    assert_eq!(fault(&sources).key, "insight.gemini.api_key");
    sources.env = pairs(&[("GEMINI_API_KEY", "k")]);
    assert!(Config::load(&sources).is_ok());
}

#[test]
fn the_other_language_models_need_a_contract_and_a_name_too() {
    let with = |more: &[(&'static str, &'static str)]| faults(&with_flags(more));
    assert_eq!(
        keys(&with(&[("insight.writer", "bedrock")])),
        ["insight.bedrock.covered", "insight.bedrock.model"]
    );
    assert_eq!(
        keys(&with(&[("insight.writer", "openai"), ("insight.openai.covered", "true")])),
        ["insight.openai.model", "insight.openai.endpoint"]
    );
    let bedrock =
        [("insight.writer", "bedrock"), ("insight.bedrock.covered", "true"), ("insight.bedrock.model", "m")];
    assert!(Config::load(&with_flags(&bedrock)).is_ok());
    let half = [&bedrock[..], &[("insight.price_input_usd_per_million_tokens", "0.3")]].concat();
    assert_eq!(fault(&with_flags(&half)).key, "insight.price_output_usd_per_million_tokens");
}

#[test]
fn mail_by_smtp_needs_a_server_and_a_private_way_to_it() {
    let smtp = [("mail.transport", "smtp")];
    assert_eq!(fault(&with_flags(&smtp)).key, "mail.smtp.host");
    let with = |more: &[(&'static str, &'static str)]| {
        with_flags(&[&smtp[..], &[("mail.smtp.host", "mail.example.org")], more].concat())
    };
    let loaded =
        Config::load(&with(&[("mail.smtp.password", "hunter2"), ("mail.smtp.username", "clarity")])).unwrap();
    assert_eq!(loaded.settings["mail.smtp.password"].value, "***");
    assert_eq!(fault(&with(&[("mail.smtp.password", "hunter2")])).key, "mail.smtp.username");
    assert_eq!(fault(&with(&[("mail.smtp.username", "clarity")])).key, "mail.smtp.password");
    assert_eq!(fault(&with(&[("mail.smtp.tls", "none")])).key, "mail.smtp.tls");
    for host in ["127.0.0.1", "localhost", "::1"] {
        Config::load(&with(&[("mail.smtp.tls", "none"), ("mail.smtp.host", host)])).unwrap();
    }
    assert_eq!(fault(&with(&[("mail.smtp.timeout_ms", "1")])).key, "mail.smtp.timeout_ms");
}

#[test]
fn codes_that_nobody_gets_are_warned_of() {
    let staging = |flags: &[(&str, &str)]| {
        let sources = Sources { profile: Some("staging".to_owned()), ..with_flags(flags) };
        Config::load(&sources).unwrap().warnings
    };
    let warnings = staging(&[]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("mail.transport"), "{warnings:?}");
    assert!(staging(&[("mail.transport", "smtp"), ("mail.smtp.host", "mail.example.org")]).is_empty());
    assert!(staging(&[("identity.log_codes", "true")]).is_empty());
    assert!(staging(&[("identity.email_confirmation_required", "false")]).is_empty());
}

#[test]
fn production_says_all_that_it_misses() {
    let faults = faults(&with_env(&[("CLARITY_PROFILE", "production")]));
    assert_eq!(
        keys(&faults),
        ["providers.identity", "mail.transport", "server.public_url", "telemetry.user_hash_key"]
    );
    assert_eq!(faults[0].source, "built-in default.toml");
    assert_eq!(faults[2].source, "not set");
}

#[test]
fn production_refuses_what_is_fit_for_a_laptop_only() {
    for (name, value, key) in [
        ("CLARITY__IDENTITY__LOG_CODES", "true", "identity.log_codes"),
        ("CLARITY__TELEMETRY__USER_HASH_KEY", "change-me-change-me-change-me", "telemetry.user_hash_key"),
        ("CLARITY__TELEMETRY__USER_HASH_KEY", "short", "telemetry.user_hash_key"),
        ("GEMINI_API_KEY", "your-secret-key-goes-here", "insight.gemini.api_key"),
        ("CLARITY__SERVER__PUBLIC_URL", "http://api.example.org", "server.public_url"),
        ("CLARITY__INSIGHT__GEMINI__ENDPOINT", "http://10.0.0.7/gemini", "insight.gemini.endpoint"),
    ] {
        assert_eq!(fault(&production(&[(name, value)])).key, key, "{value}");
    }
    let local = faults(&production(&[("CLARITY__PROVIDERS__IDENTITY", "local")]));
    assert_eq!(keys(&local), ["providers.identity", "mail.transport"]);
    let unconfirmed = [
        ("CLARITY__IDENTITY__SELF_SIGN_UP", "true"),
        ("CLARITY__IDENTITY__EMAIL_CONFIRMATION_REQUIRED", "false"),
    ];
    assert_eq!(fault(&production(&unconfirmed)).key, "identity.email_confirmation_required");
    let studio = [
        ("CLARITY__INSIGHT__WRITER", "gemini"),
        ("CLARITY__INSIGHT__GEMINI__COVERED", "true"),
        ("CLARITY__INSIGHT__GEMINI__ROUTE", "ai_studio"),
        ("GEMINI_API_KEY", "9f86d081884c7d659a2feaa0c55ad015"),
    ];
    assert_eq!(fault(&production(&studio)).key, "insight.gemini.route");
}

#[test]
fn plain_text_urls_are_told_from_encrypted_and_from_local_ones() {
    for refused in [
        "http://example.org",
        "ws://example.org/x",
        "redis://cache:6379",
        "postgres://db/clarity",
        "postgres://db/clarity?sslmode=disable",
        "postgres://db/clarity?sslmode=prefer",
        "http://[2001:db8::1]/",
    ] {
        assert!(rules::is_plain_text_to_another_machine(refused), "{refused}");
    }
    for fine in [
        "https://example.org",
        "rediss://cache:6379",
        "postgres://db/clarity?sslmode=verify-full",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]:8000",
        "redis://127.0.0.1",
        "127.0.0.1:8000",
        "./data",
        "info,sqlx=warn",
    ] {
        assert!(!rules::is_plain_text_to_another_machine(fine), "{fine}");
    }
}

#[test]
fn the_environment_of_this_process_is_read() {
    assert!(
        environment().iter().any(|(name, value)| name == "CARGO_PKG_NAME" && value == env!("CARGO_PKG_NAME"))
    );
}

#[test]
fn a_provider_needs_what_it_uses_and_serves_what_it_can() {
    let missing = |flags: &[(&str, &str)]| -> Vec<String> {
        faults(&with_flags(flags)).into_iter().map(|fault| fault.key).collect()
    };
    assert_eq!(missing(&[("providers.jobs", "postgres")]), ["postgres.url"]);
    assert_eq!(missing(&[("providers.objects", "aws")]), ["aws.region"]);
    assert_eq!(missing(&[("providers.events", "aws"), ("aws.region", "eu-central-1")]), ["aws.topic_arn"]);
    let pool = [("providers.identity", "aws"), ("aws.region", "eu-central-1")];
    assert_eq!(missing(&pool), ["aws.user_pool_id", "aws.client_id"]);
    let postgres = [("providers.objects", "postgres"), ("postgres.url", "postgres://me@localhost/x")];
    let fault = fault(&with_flags(&postgres));
    assert_eq!(fault.key, "providers.objects");
    assert!(fault.problem.contains("health_data, jobs, events"), "{}", fault.problem);
    let half = [("providers.jobs", "aws"), ("aws.region", "x"), ("aws.access_key_id", "test")];
    assert_eq!(missing(&half), ["aws.access_key_id"]);
    let plain_queue = [("providers.jobs", "aws"), ("aws.region", "x"), ("aws.queue", "jobs")];
    assert_eq!(missing(&plain_queue), ["aws.queue"]);
}

#[test]
fn in_production_several_instances_count_together() {
    let several = ("CLARITY__SERVER__INSTANCES", "2");
    assert_eq!(fault(&production(&[several])).key, "redis.url");
    Config::load(&production(&[several, ("REDIS_URL", "rediss://cache.example.org")])).unwrap();
    let plain = fault(&production(&[several, ("REDIS_URL", "redis://cache.example.org")]));
    assert_eq!(plain.key, "redis.url");
}

/// A process that serves models only, in production, with these variables.
fn models(more: &[(&str, &str)]) -> Sources {
    let sources = with_env(&[&[("CLARITY_PROFILE", "production")], more].concat());
    Sources { role: Role::Inference, ..sources }
}

#[test]
fn a_server_of_models_needs_neither_records_nor_accounts() {
    let loaded = Config::load(&models(&[])).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert!(config.inference.server.listen.ip().is_loopback());
    assert!(!config.inference.server.enabled);
    assert!(keys(&faults(&with_env(&[("CLARITY_PROFILE", "production")]))).contains(&"providers.identity"));
}

#[test]
fn production_serves_models_to_other_machines_only_with_a_key() {
    let everywhere = ("CLARITY__INFERENCE__SERVER__LISTEN", "0.0.0.0:8080");
    let key = "CLARITY__INFERENCE__SERVER__KEY";
    let own = "9f86d081884c7d659a2feaa0c55ad015";
    assert_eq!(fault(&models(&[everywhere])).key, "inference.server.key");
    assert_eq!(fault(&models(&[everywhere, (key, "change-me")])).key, "inference.server.key");
    let loaded = Config::load(&models(&[everywhere, (key, own)])).unwrap();
    assert_eq!(loaded.config.inference.server.key.as_ref().unwrap().expose_secret(), own);
    assert!(!format!("{:?} {}", loaded.config, loaded.show()).contains(own));
    Config::load(&models(&[everywhere, ("CLARITY__INFERENCE__SERVER__NETWORK_AUTHENTICATES", "true")]))
        .unwrap();
    // Beside the other server the same holds, once it is switched on.
    let enabled = ("CLARITY__INFERENCE__SERVER__ENABLED", "true");
    Config::load(&production(&[everywhere])).unwrap();
    assert_eq!(fault(&production(&[everywhere, enabled])).key, "inference.server.key");
    Config::load(&production(&[everywhere, enabled, (key, own)])).unwrap();
}

#[test]
fn models_for_other_machines_need_a_named_profile() {
    let open = with_flags(&[("inference.server.listen", "0.0.0.0:8080"), ("server.listen", "127.0.0.1:1")]);
    Config::load(&open).unwrap();
    assert_eq!(fault(&Sources { role: Role::Inference, ..open }).key, "profile");
    // What this process does not open harms nobody.
    let phones = with_flags(&[("server.listen", "0.0.0.0:8000")]);
    Config::load(&Sources { role: Role::Inference, ..phones }).unwrap();
}
