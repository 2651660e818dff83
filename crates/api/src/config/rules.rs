//! What types cannot say: ranges, settings that must fit one another, and what production refuses.

use std::{fmt::Display, fs::File, net::IpAddr, ops::RangeInclusive};

use domain::measures::screening::unit_of;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::{
    Config, Gemini, GeminiRoute, MailTransport, Profile, Provider, Role, SmtpTls, Sources, Writer, decode,
    issuers, layers::Layers,
};

/// Secrets that stand in examples, and so are none.
const EXAMPLE_SECRETS: [&str; 6] = ["change-me", "changeme", "example", "password", "secret", "..."];
const SECRET_BYTES_MIN: usize = 16;
/// How the names of FIFO queues and topics end.
const FIFO: &str = ".fifo";

/// The keys at fault, each with what is wrong and what to do.
type Broken = Vec<(String, String)>;

pub(super) fn broken(config: &Config, layers: &Layers, sources: &Sources) -> Broken {
    let mut rules = Rules(Vec::new());
    rules.ranges_of_the_server(config);
    rules.ranges_of_the_pipeline(config);
    rules.screening(config);
    rules.ranges_of_live(config);
    rules.texts(config);
    rules.pairs(config);
    rules.insight(config);
    for problem in issuers::faults(&config.identity) {
        rules.refuse("identity.issuers", problem);
    }
    rules.mail(config);
    rules.providers(config);
    if let Some(linked) = &sources.linked {
        rules.linked(config, linked);
    }
    let models = (config.inference.server.enabled || sources.role == Role::Inference)
        .then_some(config.inference.server.listen);
    let phones = (sources.role == Role::All).then_some(config.server.listen);
    let open = phones.into_iter().chain(models).find(|listen| !listen.ip().is_loopback());
    if let (None, Some(listen)) = (layers.profile, open) {
        let problem = format!(
            "{listen} can be reached from other machines: name a profile with --profile or CLARITY_PROFILE (development, localstack, staging or production)"
        );
        rules.refuse("profile", problem);
    }
    if layers.profile == Some(Profile::Production) {
        if sources.role == Role::All {
            rules.production(config);
        }
        if models.is_some() {
            rules.models_in_production(config);
        }
        rules.plain_text(layers);
    }
    rules.0
}

/// What is accepted, but probably not meant.
pub(super) fn warnings(config: &Config) -> Option<String> {
    let nobody_reads = config.identity.email_confirmation_required
        && config.providers.identity == Provider::Local
        && config.mail.transport == MailTransport::Log
        && !config.identity.log_codes
        && !config.profile.is_for_developers();
    nobody_reads.then(|| {
        "mail.transport is log and identity.log_codes is false: nobody gets the codes that confirm addresses".to_owned()
    })
}

struct Rules(Broken);

impl Rules {
    fn refuse(&mut self, key: &str, problem: impl Into<String>) {
        self.0.push((key.to_owned(), problem.into()));
    }

    fn demand(&mut self, holds: bool, key: &str, problem: impl Into<String>) {
        if !holds {
            self.refuse(key, problem);
        }
    }

    fn range<T: Copy + PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        let problem =
            format!("{value} is out of range; it must be from {} to {}", range.start(), range.end());
        self.demand(range.contains(&value), key, problem);
    }

    fn ranges_of_the_server(&mut self, config: &Config) {
        let server = &config.server;
        self.range("server.instances", server.instances, 1..=10_000);
        self.range("server.workers", server.workers, 1..=512);
        self.range("server.head_timeout_ms", server.head_timeout_ms, 100..=3_600_000);
        self.range("server.stream_bytes_max", server.stream_bytes_max, 1..=1 << 40);
        self.range("server.stream_idle_ms", server.stream_idle_ms, 100..=3_600_000);
        self.range("server.body_timeout_ms", server.body_timeout_ms, 100..=3_600_000);
        self.range("server.request_timeout_ms", server.request_timeout_ms, 100..=3_600_000);
        self.range("server.keep_alive_ms", server.keep_alive_ms, 0..=3_600_000);
        self.range("server.lame_duck_ms", server.lame_duck_ms, 0..=600_000);
        self.range("server.shutdown_timeout_ms", server.shutdown_timeout_ms, 100..=3_600_000);
        self.range("server.json_bytes_max", server.json_bytes_max, 1_024..=1 << 30);
        self.range("server.upload_bytes_max", server.upload_bytes_max, 1_024..=1 << 30);
        let identity = &config.identity;
        self.range("identity.access_token_lifetime_s", identity.access_token_lifetime_s, 60..=86_400);
        self.range("identity.refresh_token_lifetime_s", identity.refresh_token_lifetime_s, 300..=31_536_000);
        self.range("identity.session_idle_s", identity.session_idle_s, 60..=31_536_000);
        self.range("identity.password_asked_after_s", identity.password_asked_after_s, 0..=86_400);
        self.range("identity.lockout_failures", identity.lockout_failures, 1..=1_000);
        self.range("identity.lockout_address_failures", identity.lockout_address_failures, 1..=1_000_000);
        self.range("identity.lockout_duration_s", identity.lockout_duration_s, 1..=86_400);
        let limits = &config.limits;
        self.range("limits.metrics_per_upload_max", limits.metrics_per_upload_max, 1..=100_000);
        self.range("limits.samples_per_upload_max", limits.samples_per_upload_max, 1..=10_000_000);
        self.range("limits.step_minutes_max", limits.step_minutes_max, 1..=525_600);
    }

    fn screening(&mut self, config: &Config) {
        for rule in config.measures.screening.as_slice() {
            let problem = match unit_of(&rule.input) {
                Some(unit) if unit == rule.unit => continue,
                Some(unit) => format!("`{}` is in `{unit}`, not in `{}`", rule.input, rule.unit),
                None => format!("no night or day has a measure `{}`", rule.input),
            };
            self.refuse("measures.screening", format!("rule `{}`: {problem}", rule.id));
        }
    }

    fn ranges_of_the_pipeline(&mut self, config: &Config) {
        self.range("ingest.raw_inline_bytes_max", config.ingest.raw_inline_bytes_max, 0..=262_144);
        self.range("ingest.segment_inline_bytes_max", config.ingest.segment_inline_bytes_max, 0..=262_144);
        self.range("ingest.commit_attempts_max", config.ingest.commit_attempts_max, 1..=100);
        let worker = &config.worker;
        // Each has a thread of a pool of 512, which others need, too.
        self.range("worker.concurrency", worker.concurrency, 1..=256);
        self.range("worker.lease_ms", worker.lease_ms, 100..=43_200_000);
        self.range("worker.heartbeat_ms", worker.heartbeat_ms, 10..=43_200_000);
        self.range("worker.deliveries_max", worker.deliveries_max, 1..=1_000);
        self.range("worker.retry_base_ms", worker.retry_base_ms, 1..=3_600_000);
        self.range("worker.retry_max_ms", worker.retry_max_ms, 1..=43_200_000);
        self.range("worker.join_segments_min", worker.join_segments_min, 2..=10_000);
        self.range("worker.relay_interval_ms", worker.relay_interval_ms, 1..=3_600_000);
        self.range("worker.sweep_interval_ms", worker.sweep_interval_ms, 1..=3_600_000);
        let measures = &config.measures;
        self.range("measures.sleep_gap_minutes", measures.sleep_gap_minutes, 1..=720);
        self.range("measures.circadian_days", measures.circadian_days, 2..=366);
        self.range("measures.circadian_days_min", measures.circadian_days_min, 2..=366);
        self.range("measures.pat_coverage_min", measures.pat_coverage_min, 0.0..=1.0);
        let inference = &config.inference;
        self.range("inference.sessions_per_model", inference.sessions_per_model, 1..=256);
        self.range("inference.queue_depth", inference.queue_depth, 1..=65_536);
        self.range("inference.server.body_bytes_max", inference.server.body_bytes_max, 1_024..=1 << 30);
        self.range("inference.queue_rows_max", inference.queue_rows_max, 1..=65_536);
        self.range("inference.queue_wait_ms_max", inference.queue_wait_ms_max, 1..=3_600_000);
        self.range("inference.rows_max", inference.rows_max, 1..=4_096);
        self.range("inference.deadline_ms", inference.deadline_ms, 10..=3_600_000);
        self.range(
            "inference.device_memory_bytes_max",
            inference.device_memory_bytes_max,
            67_108_864..=usize::MAX,
        );
        self.range("inference.refresh_ms", inference.refresh_ms, 100..=86_400_000);
        self.demand(
            inference.queue_rows_max >= inference.rows_max,
            "inference.queue_rows_max",
            "it must be at least inference.rows_max, so that one request fits into an empty queue",
        );
        for (model, batching) in &inference.batching {
            let key = format!("inference.batching.{model}");
            if let Some(rows_max) = batching.rows_max {
                self.range(&format!("{key}.rows_max"), rows_max, 1..=4_096);
            }
            if let Some(rows_max) = batching.batch_rows_max {
                self.range(&format!("{key}.batch_rows_max"), rows_max, 1..=256);
            }
            if let Some(delay_us) = batching.batch_delay_us {
                self.range(&format!("{key}.batch_delay_us"), delay_us, 0..=1_000_000);
            }
        }
        if let Some(Err(problem)) = inference.signing_key.as_deref().map(inference::SigningKey::from_pem) {
            self.refuse("inference.signing_key", problem);
        }
        let smtp = &config.mail.smtp;
        self.range("mail.smtp.port", smtp.port, 1..=u16::MAX);
        self.range("mail.smtp.connect_timeout_ms", smtp.connect_timeout_ms, 100..=600_000);
        self.range("mail.smtp.timeout_ms", smtp.timeout_ms, 100..=600_000);
        self.range("mail.smtp.waiting_max", smtp.waiting_max, 1..=1_000_000);
        self.range("mail.smtp.retry_for_s", smtp.retry_for_s, 0..=900);
        let insight = &config.insight;
        self.range("insight.connect_timeout_ms", insight.connect_timeout_ms, 100..=60_000);
        self.range("insight.timeout_ms", insight.timeout_ms, 100..=600_000);
        self.range("insight.retries_max", insight.retries_max, 0..=10);
        for (key, price) in [
            ("insight.price_input_usd_per_million_tokens", insight.price_input_usd_per_million_tokens),
            ("insight.price_output_usd_per_million_tokens", insight.price_output_usd_per_million_tokens),
        ] {
            self.range(key, price, 0.0..=1e6);
        }
    }

    fn ranges_of_live(&mut self, config: &Config) {
        let live = &config.live;
        self.range("live.streams_per_user_max", live.streams_per_user_max, 1..=1_000);
        self.range("live.sockets_per_user_max", live.sockets_per_user_max, 1..=1_000);
        self.range("live.message_bytes_max", live.message_bytes_max, 16_384..=16_777_216);
        self.range("live.messages_per_minute", live.messages_per_minute, 1..=1_000_000);
        self.range("live.points_max", live.points_max, 1..=100_000);
        self.range("live.ping_interval_ms", live.ping_interval_ms, 100..=60_000);
        self.range("live.dead_after_ms", live.dead_after_ms, 200..=600_000);
        self.range("live.auth_timeout_ms", live.auth_timeout_ms, 100..=60_000);
        self.range("live.write_timeout_ms", live.write_timeout_ms, 100..=600_000);
        self.range("live.queue_messages_max", live.queue_messages_max, 8..=65_536);
        self.range("live.queue_bytes_max", live.queue_bytes_max, 65_536..=16_777_216);
        self.demand(
            live.dead_after_ms >= live.ping_interval_ms.saturating_mul(2),
            "live.dead_after_ms",
            "it must be at least twice live.ping_interval_ms, so that one lost ping ends no socket",
        );
    }

    fn texts(&mut self, config: &Config) {
        for (key, text) in [
            ("data.dir", config.data.dir.to_str()),
            ("identity.audience", Some(config.identity.audience.as_str())),
            ("identity.issuer", Some(config.identity.issuer.as_str())),
            (
                "inference.library",
                config.inference.library.as_deref().map_or(Some("none"), |path| path.to_str()),
            ),
            ("inference.models_dir", config.inference.models_dir.to_str()),
            ("insight.gemini.model", Some(config.insight.gemini.model.as_str())),
        ] {
            self.demand(
                text.is_some_and(|text| !text.trim().is_empty()),
                key,
                "it is empty; give it a value",
            );
        }
        for (key, url) in [
            ("server.public_url", &config.server.public_url),
            ("insight.gemini.endpoint", &config.insight.gemini.endpoint),
            ("insight.bedrock.endpoint", &config.insight.bedrock.endpoint),
            ("insight.openai.endpoint", &config.insight.openai.endpoint),
        ] {
            let web = url.as_deref().is_none_or(|url| {
                Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            });
            self.demand(web, key, "it is no web address; write it as https://host or https://host/path");
        }
        let list = config.identity.breached_passwords_file.as_deref();
        self.demand(
            list.is_none_or(|path| {
                File::open(path).is_ok_and(|file| file.metadata().is_ok_and(|file| file.is_file()))
            }),
            "identity.breached_passwords_file",
            "it cannot be read as a file: correct the path or its permissions, or leave the key out",
        );
        for origin in &config.server.cors_origins {
            let problem = format!(
                "`{origin}` is no origin; write scheme, host and port as browsers do, such as https://app.example.org (and name each: \
                 there is no `*`)"
            );
            self.demand(is_origin(origin), "server.cors_origins", problem);
        }
        let filter = EnvFilter::try_new(&config.telemetry.log_level);
        self.demand(
            filter.is_ok(),
            "telemetry.log_level",
            "it is no level (error, warn, info, debug, trace) and no list of directives such as `info,sqlx=warn`",
        );
    }

    fn pairs(&mut self, config: &Config) {
        let worker = &config.worker;
        self.demand(
            worker.heartbeat_ms <= worker.lease_ms / 2,
            "worker.heartbeat_ms",
            "it must be at most half of worker.lease_ms, so that one late heartbeat loses no lease",
        );
        self.demand(
            worker.retry_base_ms <= worker.retry_max_ms,
            "worker.retry_base_ms",
            "it must not be above worker.retry_max_ms",
        );
        self.demand(
            config.measures.circadian_days_min <= config.measures.circadian_days,
            "measures.circadian_days_min",
            "it must not be above measures.circadian_days, or nothing is ever assessed",
        );
        self.demand(
            config.server.lame_duck_ms < config.server.shutdown_timeout_ms,
            "server.lame_duck_ms",
            "it must be below server.shutdown_timeout_ms, of which it is a part",
        );
        self.demand(
            config.identity.access_token_lifetime_s <= config.identity.refresh_token_lifetime_s,
            "identity.access_token_lifetime_s",
            "it must not be above identity.refresh_token_lifetime_s",
        );
        self.demand(
            config.identity.access_token_lifetime_s <= config.identity.session_idle_s,
            "identity.session_idle_s",
            "it must not be below identity.access_token_lifetime_s, or a session ends before its token",
        );
    }

    fn insight(&mut self, config: &Config) {
        let insight = &config.insight;
        let (covered, key) = match insight.writer {
            Writer::Template => return,
            Writer::Gemini => (insight.gemini.covered, "insight.gemini.covered"),
            Writer::Bedrock => (insight.bedrock.covered, "insight.bedrock.covered"),
            Writer::Openai => (insight.openai.covered, "insight.openai.covered"),
        };
        self.demand(
            covered,
            key,
            "this writer sends health facts: set this to true only if a contract covers that, or use the template writer",
        );
        let prices =
            [insight.price_input_usd_per_million_tokens, insight.price_output_usd_per_million_tokens];
        self.demand(
            (prices[0] > 0.0) == (prices[1] > 0.0),
            "insight.price_output_usd_per_million_tokens",
            "a cost needs both prices, of tokens read and of tokens written: give both or neither",
        );
        match insight.writer {
            Writer::Template => {}
            Writer::Gemini => self.gemini(&insight.gemini),
            Writer::Bedrock => {
                let problem = "the bedrock writer needs it: name a model or an inference profile";
                self.demand(insight.bedrock.model.is_some(), "insight.bedrock.model", problem);
            }
            Writer::Openai => {
                let problem = "the openai writer needs it: name the model";
                self.demand(insight.openai.model.is_some(), "insight.openai.model", problem);
                let problem = "the openai writer needs it: say what stands before /chat/completions";
                self.demand(insight.openai.endpoint.is_some(), "insight.openai.endpoint", problem);
            }
        }
    }

    fn gemini(&mut self, gemini: &Gemini) {
        match gemini.route {
            GeminiRoute::AiStudio => {
                let problem = "the ai_studio route needs it: set GEMINI_API_KEY";
                self.demand(gemini.api_key.is_some(), "insight.gemini.api_key", problem);
            }
            GeminiRoute::Vertex => {
                let problem = "the vertex route needs it: set GOOGLE_CLOUD_PROJECT";
                self.demand(gemini.project.is_some(), "insight.gemini.project", problem);
                let problem = "the vertex route needs it: name a region, such as europe-west4";
                self.demand(gemini.location.is_some(), "insight.gemini.location", problem);
            }
        }
    }

    fn mail(&mut self, config: &Config) {
        if config.mail.transport != MailTransport::Smtp {
            return;
        }
        let smtp = &config.mail.smtp;
        let problem = "the smtp transport needs it: name the mail server";
        self.demand(
            smtp.host.as_deref().is_some_and(|host| !host.trim().is_empty()),
            "mail.smtp.host",
            problem,
        );
        let host = smtp.host.as_deref().unwrap_or("localhost");
        self.demand(
            smtp.tls != SmtpTls::None || is_this_machine(host),
            "mail.smtp.tls",
            "codes go to another machine encrypted only: set it to starttls or tls",
        );
        let problem = "username and password belong together: give both or neither";
        self.demand(smtp.username.is_some() || smtp.password.is_none(), "mail.smtp.username", problem);
        self.demand(smtp.password.is_some() || smtp.username.is_none(), "mail.smtp.password", problem);
    }

    /// What a provider serves, and what it must be told.
    fn providers(&mut self, config: &Config) {
        let by_port = config.providers.by_port();
        for (key, provider) in by_port {
            let serves: &[&str] = match provider {
                Provider::Local => continue,
                Provider::Aws => &["health_data", "objects", "jobs", "events", "identity", "secrets"],
                Provider::Postgres => &["health_data", "jobs", "events"],
                Provider::Gcp => &[],
            };
            let problem = format!("{provider} does not serve it; it serves: {}", serves.join(", "));
            let is_served = key.strip_prefix("providers.").is_some_and(|port| serves.contains(&port));
            self.demand(is_served || provider == Provider::Gcp, key, problem);
        }
        let is_used = |provider| by_port.iter().any(|(_, named)| *named == provider);
        let aws = &config.aws;
        if is_used(Provider::Aws) {
            self.demand(
                aws.region.is_some(),
                "aws.region",
                "the providers named aws need it: set AWS_REGION",
            );
            let problem = "the two keys belong together: give both or neither";
            self.demand(
                aws.access_key_id.is_some() == aws.secret_access_key.is_some(),
                "aws.access_key_id",
                problem,
            );
            for (key, name) in [("aws.queue", &aws.queue), ("aws.dead_letter_queue", &aws.dead_letter_queue)]
            {
                self.demand(
                    name.ends_with(FIFO),
                    key,
                    "the order of a user's jobs needs a FIFO queue: its name ends in .fifo",
                );
            }
        }
        if config.providers.identity == Provider::Aws {
            for (key, is_there) in
                [("aws.user_pool_id", aws.user_pool_id.is_some()), ("aws.client_id", aws.client_id.is_some())]
            {
                self.demand(is_there, key, "accounts on AWS need it: name the user pool and its app client");
            }
            self.demand(
                aws.clinician_group != aws.operator_group,
                "aws.operator_group",
                "clinicians and operators need different groups",
            );
        }
        if config.providers.events == Provider::Aws {
            let problem = "the events need it: the ARN of a FIFO topic, as `clarity cloud init` prints it";
            let is_fifo = aws.topic_arn.as_deref().is_some_and(|arn| arn.ends_with(FIFO));
            self.demand(is_fifo, "aws.topic_arn", problem);
        }
        let range = 100..=600_000;
        self.range("aws.connect_timeout_ms", aws.connect_timeout_ms, range.clone());
        self.range("aws.attempt_timeout_ms", aws.attempt_timeout_ms, range.clone());
        self.range("aws.operation_timeout_ms", aws.operation_timeout_ms, range.clone());
        self.range("aws.attempts_max", aws.attempts_max, 1..=10);
        self.range("aws.secrets_cached_s", aws.secrets_cached_s, 0..=86_400);
        let postgres = &config.postgres;
        let problem = "the providers named postgres need it: set DATABASE_URL";
        self.demand(!is_used(Provider::Postgres) || postgres.url.is_some(), "postgres.url", problem);
        self.range("postgres.connections_max", postgres.connections_max, 1..=1_000);
        self.range("postgres.connections_min", postgres.connections_min, 0..=postgres.connections_max.max(1));
        self.range("postgres.statement_timeout_ms", postgres.statement_timeout_ms, range);
    }

    fn linked(&mut self, config: &Config, linked: &[Provider]) {
        for (key, provider) in config.providers.by_port() {
            let problem =
                format!("this binary holds no {provider} adapters: build it with `--features {provider}`");
            self.demand(linked.contains(&provider), key, problem);
        }
    }

    fn production(&mut self, config: &Config) {
        self.demand(
            config.providers.identity != Provider::Local,
            "providers.identity",
            "production refuses the local identity provider: name the one that your users are in",
        );
        self.demand(
            !config.identity.log_codes,
            "identity.log_codes",
            "production refuses to write sign-in codes to the log: set it to false",
        );
        self.demand(
            config.identity.email_confirmation_required || !config.identity.self_sign_up,
            "identity.email_confirmation_required",
            "production refuses sign-up by addresses that nobody confirmed: set it to true, or identity.self_sign_up to false",
        );
        self.demand(
            config.mail.transport == MailTransport::Smtp
                || !config.identity.email_confirmation_required
                || config.providers.identity != Provider::Local,
            "mail.transport",
            "production mails the codes that confirm addresses: set it to smtp",
        );
        self.demand(
            config.server.public_url.is_some(),
            "server.public_url",
            "production needs the https:// address that clients use, because presigned URLs are made from it",
        );
        self.demand(
            config.insight.writer != Writer::Gemini || config.insight.gemini.route == GeminiRoute::Vertex,
            "insight.gemini.route",
            "production refuses ai_studio, which no contract for health data covers: use vertex",
        );
        self.demand(
            config.server.instances == 1 || config.redis.url.is_some(),
            "redis.url",
            "several instances must count rate limits together: set REDIS_URL, or server.instances to 1",
        );
        let hash_key = &config.telemetry.user_hash_key;
        self.demand(
            hash_key.is_some(),
            "telemetry.user_hash_key",
            "production needs it: set it to 32 random bytes in hexadecimal",
        );
        self.secret("telemetry.user_hash_key", hash_key.as_ref());
        self.secret("insight.gemini.access_token", config.insight.gemini.access_token.as_ref());
        self.secret("insight.gemini.api_key", config.insight.gemini.api_key.as_ref());
        self.secret("insight.openai.api_key", config.insight.openai.api_key.as_ref());
    }

    fn models_in_production(&mut self, config: &Config) {
        let server = &config.inference.server;
        self.demand(
            server.key.is_some() || server.network_authenticates || server.listen.ip().is_loopback(),
            "inference.server.key",
            "production answers other machines' inferences only with a key: set it to 32 random bytes in hexadecimal, or listen on \
             127.0.0.1",
        );
        self.secret("inference.server.key", server.key.as_ref());
    }

    fn secret(&mut self, key: &str, secret: Option<&SecretString>) {
        let secret = secret.map(ExposeSecret::expose_secret);
        let example = secret.is_some_and(|secret| {
            secret.len() < SECRET_BYTES_MIN
                || EXAMPLE_SECRETS.iter().any(|example| secret.to_lowercase().contains(example))
        });
        let problem = format!(
            "production refuses an example or one shorter than {SECRET_BYTES_MIN} bytes: make a random one"
        );
        self.demand(!example, key, problem);
    }

    /// Every setting that is a URL is looked at, so that one added later is, too.
    fn plain_text(&mut self, layers: &Layers) {
        let Ok(tree) = layers.merged.find_value("") else { return };
        for (key, value) in decode::leaves(&tree) {
            if value.as_str().is_some_and(is_plain_text_to_another_machine) {
                self.refuse(&key, "production refuses to talk to another machine in plain text: use the encrypted form of the URL");
            }
        }
    }
}

/// Whether `text` is an origin to the letter: a browser's header is compared with it byte by byte.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `text` is a URL of a protocol without encryption, to a host other than this one.
pub(super) fn is_plain_text_to_another_machine(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let here = match url.host() {
        None => return false,
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    // libpq's default tries without encryption when the server has none.
    let encrypts = |url: &Url| {
        let strict = ["require", "verify-ca", "verify-full"];
        url.query_pairs().any(|(name, value)| name == "sslmode" && strict.contains(&value.as_ref()))
    };
    let plain = match url.scheme() {
        "http" | "ws" | "redis" | "amqp" | "nats" | "mqtt" | "ftp" => true,
        "postgres" | "postgresql" => !encrypts(&url),
        _ => false,
    };
    plain && !here
}
