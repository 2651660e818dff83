//! One struct per section of the configuration. The values' meaning is written beside their defaults, in `config/default.toml`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf};

use domain::measures::screening::Rules;
use inference::Batching;
pub use inference::ExecutionProvider;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Issuer;

/// Which set of defaults and refusals applies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[default]
    Development,
    /// Development on what stands in for AWS.
    Localstack,
    Staging,
    Production,
}

impl Profile {
    pub const ALL: [Self; 4] = [Self::Development, Self::Localstack, Self::Staging, Self::Production];

    /// Whether it is for developers, who may see codes.
    pub const fn is_for_developers(self) -> bool {
        matches!(self, Self::Development | Self::Localstack)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Localstack => "localstack",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose adapters serve a port. Every build knows all of them; a build links some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Local,
    Aws,
    Gcp,
    Postgres,
}

impl Provider {
    /// The name in the configuration, which is also the name of the feature that links its adapters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How Cognito is shown a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignInFlow {
    Password,
    Srp,
}

/// Which service of AWS keeps secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretService {
    SecretsManager,
    Ssm,
}

/// AWS, or what stands in for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub dynamodb_endpoint: Option<String>,
    pub s3_endpoint: Option<String>,
    pub sqs_endpoint: Option<String>,
    pub sns_endpoint: Option<String>,
    pub secrets_manager_endpoint: Option<String>,
    pub ssm_endpoint: Option<String>,
    pub cognito_endpoint: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<SecretString>,
    pub path_style: bool,
    pub table: String,
    pub bucket: String,
    pub queue: String,
    pub dead_letter_queue: String,
    pub topic_arn: Option<String>,
    pub kms_key_id: Option<String>,
    pub secret_service: SecretService,
    pub secret_prefix: String,
    pub secrets_cached_s: u64,
    pub user_pool_name: String,
    pub user_pool_id: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
    pub user_pool_issuer: Option<String>,
    pub sign_in_flow: SignInFlow,
    pub refresh_token_rotation: bool,
    pub clinician_group: String,
    pub operator_group: String,
    pub connect_timeout_ms: u64,
    pub attempt_timeout_ms: u64,
    pub operation_timeout_ms: u64,
    pub attempts_max: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: Option<SecretString>,
}

/// What is done about the bytes of deleted rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrub {
    Reuse,
    Rewrite,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    pub url: Option<SecretString>,
    pub connections_min: u32,
    pub connections_max: u32,
    pub statement_timeout_ms: u64,
    pub scrub: Scrub,
    pub migrate_at_start: bool,
}

/// The header in which trusted proxies name the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressHeader {
    XForwardedFor,
    Forwarded,
}

impl ClientAddressHeader {
    pub const ALL: [Self; 2] = [Self::XForwardedFor, Self::Forwarded];

    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub workers: usize,
    pub instances: u32,
    pub trusted_proxies: Vec<IpNet>,
    pub client_address_header: ClientAddressHeader,
    pub cors_origins: Vec<String>,
    pub head_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub stream_bytes_max: u64,
    pub stream_idle_ms: u64,
    pub request_timeout_ms: u64,
    pub keep_alive_ms: u64,
    pub lame_duck_ms: u64,
    pub shutdown_timeout_ms: u64,
    pub json_bytes_max: usize,
    pub upload_bytes_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    pub health_data: Provider,
    pub objects: Provider,
    pub jobs: Provider,
    pub events: Provider,
    pub identity: Provider,
    pub secrets: Provider,
}

impl Providers {
    /// Each port's key and the provider that is to serve it.
    pub const fn by_port(&self) -> [(&'static str, Provider); 6] {
        [
            ("providers.health_data", self.health_data),
            ("providers.objects", self.objects),
            ("providers.jobs", self.jobs),
            ("providers.events", self.events),
            ("providers.identity", self.identity),
            ("providers.secrets", self.secrets),
        ]
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub issuer: String,
    pub audience: String,
    pub access_token_lifetime_s: u64,
    pub refresh_token_lifetime_s: u64,
    pub session_idle_s: u64,
    pub password_asked_after_s: i64,
    pub email_confirmation_required: bool,
    pub self_sign_up: bool,
    pub lockout_failures: u32,
    pub lockout_address_failures: u32,
    pub lockout_duration_s: u64,
    pub breached_passwords_file: Option<PathBuf>,
    pub log_codes: bool,
    #[serde(default)]
    pub issuers: Vec<Issuer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    Log,
    Smtp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    Starttls,
    Tls,
    None,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    pub transport: MailTransport,
    pub sender: String,
    pub smtp: Smtp,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    pub host: Option<String>,
    pub port: u16,
    pub tls: SmtpTls,
    pub authority_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub waiting_max: usize,
    pub retry_for_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub registrations_per_hour: u32,
    pub logins_per_minute: u32,
    pub codes_per_hour: u32,
    pub uploads_per_hour: u32,
    pub pat_per_hour: u32,
    pub insights_per_hour: u32,
    pub metrics_per_upload_max: usize,
    pub samples_per_upload_max: usize,
    pub step_minutes_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub streams_per_user_max: usize,
    pub sockets_per_user_max: usize,
    pub message_bytes_max: usize,
    pub messages_per_minute: u32,
    pub points_max: usize,
    pub ping_interval_ms: u64,
    pub dead_after_ms: u64,
    pub auth_timeout_ms: u64,
    pub write_timeout_ms: u64,
    pub queue_messages_max: usize,
    pub queue_bytes_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    pub raw_inline_bytes_max: usize,
    pub segment_inline_bytes_max: usize,
    pub commit_attempts_max: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    pub in_server: bool,
    pub concurrency: usize,
    pub lease_ms: u64,
    pub heartbeat_ms: u64,
    pub deliveries_max: u32,
    pub retry_base_ms: u64,
    pub retry_max_ms: u64,
    pub relay_interval_ms: u64,
    pub sweep_interval_ms: u64,
    pub join_segments_min: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    pub sleep_gap_minutes: u32,
    pub circadian_days: u32,
    pub circadian_days_min: u32,
    pub pat_coverage_min: f64,
    pub screening: Rules,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    pub models_dir: PathBuf,
    pub retina_model: String,
    pub library: Option<PathBuf>,
    pub sessions_per_model: usize,
    pub queue_depth: usize,
    pub queue_rows_max: usize,
    pub queue_wait_ms_max: u64,
    pub rows_max: usize,
    pub deadline_ms: u64,
    pub execution_provider: ExecutionProvider,
    pub device_memory_bytes_max: usize,
    pub cache_bytes_max: u64,
    pub refresh_ms: u64,
    pub signing_key: Option<String>,
    /// By model.
    #[serde(default)]
    pub batching: BTreeMap<String, Batching>,
    pub server: InferenceServer,
}

/// Who answers the Open Inference Protocol, and whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceServer {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub key: Option<SecretString>,
    pub network_authenticates: bool,
    pub body_bytes_max: usize,
    pub invocations_model: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writer {
    Template,
    Gemini,
    Bedrock,
    Openai,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeminiRoute {
    AiStudio,
    Vertex,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insight {
    pub writer: Writer,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub retries_max: u32,
    pub price_input_usd_per_million_tokens: f64,
    pub price_output_usd_per_million_tokens: f64,
    pub gemini: Gemini,
    pub bedrock: Bedrock,
    pub openai: Openai,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gemini {
    pub route: GeminiRoute,
    pub endpoint: Option<String>,
    pub api_key: Option<SecretString>,
    pub access_token: Option<SecretString>,
    pub model: String,
    pub project: Option<String>,
    pub location: Option<String>,
    pub covered: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bedrock {
    pub model: Option<String>,
    /// Where it is not the region of `aws`.
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub covered: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openai {
    pub endpoint: Option<String>,
    pub api_key: Option<SecretString>,
    pub model: Option<String>,
    pub covered: bool,
}

impl Gemini {
    /// Scheme and host to post to: what is configured, or the route's own.
    pub fn endpoint(&self) -> String {
        let location = self.location.as_deref().unwrap_or("global");
        match (&self.endpoint, self.route) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, GeminiRoute::AiStudio) => "https://generativelanguage.googleapis.com".to_owned(),
            (None, GeminiRoute::Vertex) if location == "global" => {
                "https://aiplatform.googleapis.com".to_owned()
            }
            (None, GeminiRoute::Vertex) => format!("https://{location}-aiplatform.googleapis.com"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_level: String,
    pub user_hash_key: Option<SecretString>,
}
