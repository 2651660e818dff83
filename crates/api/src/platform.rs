//! The composition root: which adapter serves which port. The only file that looks at cargo features.

use std::{sync::Arc, time::Duration};

use adapters_mail::{Credentials, Encryption, LogMailer, SmtpMailer, SmtpSettings};
use anyhow::Context as _;
use app::Platform;
use async_trait::async_trait;
use inference::{Engine, ModelStore, SigningKey};
#[cfg(feature = "redis")]
use metered::Metered;
use metered::MeteredProvider;
use ports::{
    Clock, CloudProvider, IdSource, InsightWriter, Mailer, ObjectKey, ObjectStore, PresignedMethod, Scrubber,
    SecretName, SecretStore, SharedState,
};
use secrecy::{ExposeSecret, SecretSlice};

use crate::config::{Config, MailTransport, Provider, SmtpTls, Writer};

#[cfg(not(any(feature = "local", feature = "aws-dynamodb", feature = "postgres")))]
compile_error!("records need a store: enable at least one of the features local, aws-dynamodb and postgres");

/// Checks presigned URLs of an object store that has no server of its own.
pub trait PresignedObjects: Send + Sync + 'static {
    /// What the URL's query grants for `key` and the HTTP method, if its signature holds and it has not expired.
    fn verify(&self, key: &ObjectKey, method: &str, query: &str) -> Option<PresignedMethod>;
}

/// How the connections to a database server stand.
#[derive(Clone, Copy, Debug)]
pub struct PoolState {
    pub open: u32,
    pub idle: u32,
    pub max: u32,
}

/// The connections to a database server.
#[async_trait]
pub trait Pool: Send + Sync + 'static {
    async fn state(&self) -> ports::Result<PoolState>;
}

/// Everything that is connected.
pub struct Connected {
    pub platform: Platform,
    pub secrets: Arc<dyn SecretStore>,
    pub presigned: Option<Arc<dyn PresignedObjects>>,
    pub engine: Arc<Engine>,
    /// Where mail goes to a server.
    pub smtp: Option<Arc<SmtpMailer>>,
    /// What instances share.
    pub shared: Option<Arc<dyn SharedState>>,
    /// Where the records are in a database server.
    pub pool: Option<Arc<dyn Pool>>,
    providers: Providers,
}

/// The providers whose adapters this binary holds.
pub fn linked() -> Vec<Provider> {
    let linked = [
        (Provider::Local, cfg!(feature = "local")),
        (Provider::Aws, cfg!(feature = "adapters-aws")),
        (Provider::Postgres, cfg!(feature = "postgres")),
    ];
    linked.into_iter().filter_map(|(provider, is_linked)| is_linked.then_some(provider)).collect()
}

/// The providers that the configuration names, opened.
#[derive(Clone, Default)]
struct Providers(Vec<(Provider, Arc<dyn CloudProvider>)>);

impl Providers {
    /// Adds one, whose ports are measured.
    fn add(&mut self, provider: Provider, cloud: Arc<dyn CloudProvider>) {
        self.0.push((provider, Arc::new(MeteredProvider(cloud))));
    }

    fn of(&self, provider: Provider) -> anyhow::Result<&dyn CloudProvider> {
        let opened = self.0.iter().find(|(opened, _)| *opened == provider);
        opened.map(|(_, cloud)| &**cloud).with_context(|| {
            format!(
                "this binary was built without the {provider} adapters: build it with `--features {provider}`"
            )
        })
    }

    fn scrubber(&self) -> ports::Result<Arc<dyn Scrubber>> {
        let scrubbers = self.0.iter().map(|(_, cloud)| cloud.scrubber());
        Ok(Arc::new(Scrubbers(scrubbers.collect::<ports::Result<_>>()?)))
    }
}

/// Those of all providers: what belongs to a user may lie with several.
struct Scrubbers(Vec<Arc<dyn Scrubber>>);

#[async_trait]
impl Scrubber for Scrubbers {
    async fn scrub(&self) -> ports::Result<()> {
        for scrubber in &self.0 {
            scrubber.scrub().await?;
        }
        Ok(())
    }
}

/// Opens the adapters that the configuration names, and begins to load the models.
pub async fn connect(
    config: &Config,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
) -> anyhow::Result<Connected> {
    connect_with(config, clock, ids, |settings, objects| {
        Engine::start_with(settings, ModelStore::new(Arc::clone(objects)))
    })
    .await
}

/// For what predicts nothing: no model is loaded.
pub async fn connect_without_models(
    config: &Config,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
) -> anyhow::Result<Connected> {
    connect_with(config, clock, ids, |settings, _| Engine::without_models(settings)).await
}

async fn connect_with(
    config: &Config,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    models: impl FnOnce(inference::Settings, &Arc<dyn ObjectStore>) -> Arc<Engine>,
) -> anyhow::Result<Connected> {
    let (smtp, mailer) = mailers(config)?;
    #[cfg(any(feature = "local", feature = "postgres"))]
    let named = config.providers.by_port().map(|(_, provider)| provider);
    let mut providers = Providers::default();
    #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "only it has one"))]
    let mut pool: Option<Arc<dyn Pool>> = None;
    #[cfg(feature = "local")]
    let local = if named.contains(&Provider::Local) {
        let local = Arc::new(local::open(config, mailer, Arc::clone(&clock), Arc::clone(&ids)).await?);
        providers.add(Provider::Local, Arc::clone(&local) as _);
        Some(local)
    } else {
        None
    };
    #[cfg(not(feature = "local"))]
    drop(mailer);
    #[cfg(feature = "postgres")]
    if named.contains(&Provider::Postgres) {
        let postgres = Arc::new(postgres::open(config, Arc::clone(&clock)).await?);
        pool = (config.providers.health_data == Provider::Postgres).then(|| Arc::clone(&postgres) as _);
        providers.add(Provider::Postgres, postgres);
    }
    #[cfg(feature = "adapters-aws")]
    #[cfg_attr(
        not(feature = "aws-cognito"),
        expect(unused_variables, reason = "only accounts need more of it")
    )]
    let aws = aws::open(config, &mut providers, &clock, &ids).await?;
    let objects = providers.of(config.providers.objects)?.objects()?;
    let engine = models(inference_settings(config)?, &objects);
    let shared = shared(config)?;
    let health_data = providers.of(config.providers.health_data)?.health_data()?;
    let secrets = providers.of(config.providers.secrets)?.secrets()?;
    let identity = match config.providers.identity {
        #[cfg(feature = "aws-cognito")]
        Provider::Aws => {
            let aws = aws.context("the providers named aws were not opened")?;
            let identity = aws::user_pool(&aws, config, &*secrets, &health_data, &clock).await?;
            let identity = metered::identity(identity, aws.name());
            locking(config, identity, shared.as_ref(), &*secrets, (&clock, &ids)).await?
        }
        provider => providers.of(provider)?.identity()?,
    };
    let identity = issuers::with(&config.identity.issuers, identity, &health_data, (&clock, &ids))?;
    let platform = Platform {
        health_data,
        objects,
        jobs: providers.of(config.providers.jobs)?.jobs()?,
        events: providers.of(config.providers.events)?.events()?,
        identity: identity.accounts,
        tokens: identity.tokens,
        sessions: identity.sessions,
        multi_factor: identity.multi_factor,
        scrubber: providers.scrubber()?,
        predictor: Arc::clone(&engine) as Arc<dyn ports::Predictor>,
        insight: insight_writer(config).await?,
        clock,
        ids,
    };
    #[cfg(feature = "local")]
    let presigned = match config.providers.objects {
        Provider::Local => local.map(|local| local as Arc<dyn PresignedObjects>),
        _ => None,
    };
    #[cfg(not(feature = "local"))]
    let presigned = None;
    Ok(Connected { platform, secrets, presigned, engine, smtp, shared, pool, providers })
}

/// The object store, and no other port: for what needs no records.
pub async fn objects(config: &Config) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match config.providers.objects {
        #[cfg(feature = "local")]
        Provider::Local => local::objects(config).await,
        #[cfg(feature = "adapters-aws")]
        Provider::Aws => {
            let ((clock, ids), mut providers) = (time_and_ids(), Providers::default());
            providers.add(Provider::Aws, Arc::new(aws::cloud(config, clock, ids).await?));
            Ok(providers.of(Provider::Aws)?.objects()?)
        }
        provider => Ok(Providers::default().of(provider)?.objects()?),
    }
}

fn shared(config: &Config) -> anyhow::Result<Option<Arc<dyn SharedState>>> {
    let Some(url) = &config.redis.url else { return Ok(None) };
    #[cfg(feature = "redis")]
    {
        let settings = adapters_redis::Settings::parse(url, adapters_redis::PlainText::LoopbackOnly);
        let settings = settings.context("redis.url cannot be used")?;
        let shared: Arc<dyn SharedState> = Arc::new(adapters_redis::RedisSharedState::new(&settings)?);
        Ok(Some(Arc::new(Metered::new(shared, "redis"))))
    }
    #[cfg(not(feature = "redis"))]
    {
        let _unused = url;
        Err(without("redis"))
    }
}

/// Locks after failures, which the provider of `identity` counts by a rule of its own. They are in what instances share, and without
/// that in this process: production refuses several instances then.
#[cfg(feature = "aws-cognito")]
async fn locking(
    config: &Config,
    identity: ports::Identity,
    shared: Option<&Arc<dyn SharedState>>,
    secrets: &dyn SecretStore,
    (clock, ids): (&Arc<dyn Clock>, &Arc<dyn IdSource>),
) -> anyhow::Result<ports::Identity> {
    let shared = shared.cloned();
    #[cfg(feature = "local")]
    let shared = shared
        .or_else(|| Some(Arc::new(adapters_local::memory::MemorySharedState::new(Arc::clone(clock))) as _));
    let Some(shared) = shared else {
        tracing::warn!(
            "without redis.url, and without the feature `local`, only the provider locks accounts"
        );
        return Ok(identity);
    };
    let settings = app::lockout::LockoutSettings {
        failures: config.identity.lockout_failures,
        address_failures: config.identity.lockout_address_failures,
        duration: Duration::from_secs(config.identity.lockout_duration_s),
    };
    let key = secret_or_new(secrets, "identity/lockout-key").await?;
    let time = (Arc::clone(clock), Arc::clone(ids));
    Ok(app::lockout::locking(identity, shared, settings, &key, time))
}

/// The named secret, made of 32 random bytes the first time that any instance asks for it.
pub async fn secret_or_new(secrets: &dyn SecretStore, name: &str) -> anyhow::Result<SecretSlice<u8>> {
    let name = SecretName::new(name)?;
    let bytes: [u8; 32] = rand::random();
    let secret = secrets.get_or_put(&name, SecretSlice::from(bytes.to_vec())).await?;
    anyhow::ensure!(
        secret.value.expose_secret().len() >= 32,
        "the secret {} is shorter than 32 bytes",
        name.as_str()
    );
    Ok(secret.value)
}

/// Who mails: a server, or for developers the log.
type Mailers = (Option<Arc<SmtpMailer>>, Option<Arc<dyn Mailer>>);

fn mailers(config: &Config) -> anyhow::Result<Mailers> {
    let smtp = match config.mail.transport {
        MailTransport::Smtp => Some(Arc::new(smtp_mailer(config)?)),
        MailTransport::Log => None,
    };
    let mailer: Option<Arc<dyn Mailer>> = match &smtp {
        Some(smtp) => Some(Arc::clone(smtp) as _),
        None => config.identity.log_codes.then(|| Arc::new(LogMailer) as _),
    };
    Ok((smtp, mailer))
}

fn smtp_mailer(config: &Config) -> anyhow::Result<SmtpMailer> {
    let smtp = &config.mail.smtp;
    let credentials = smtp.username.clone().zip(smtp.password.clone());
    let mailer = SmtpMailer::new(SmtpSettings {
        host: smtp.host.clone().context("mail.smtp.host is missing")?,
        port: smtp.port,
        encryption: match smtp.tls {
            SmtpTls::Starttls => Encryption::Starttls,
            SmtpTls::Tls => Encryption::Tls,
            SmtpTls::None => Encryption::Plain,
        },
        credentials: credentials.map(|(username, password)| Credentials { username, password }),
        authority: smtp.authority_file.clone(),
        sender: config.mail.sender.clone(),
        connect_timeout: Duration::from_millis(smtp.connect_timeout_ms),
        timeout: Duration::from_millis(smtp.timeout_ms),
        waiting_max: smtp.waiting_max,
        retry_for: Duration::from_secs(smtp.retry_for_s),
        retry_base: MAIL_RETRY_BASE,
    });
    mailer.context("mail cannot be sent with these settings")
}

/// Servers that greylist want to see the same mail again some time later, and say no again before that.
const MAIL_RETRY_BASE: Duration = Duration::from_secs(2);

/// The models alone, of the folder and of the object store, for a process that does nothing else.
pub async fn models(config: &Config) -> anyhow::Result<Arc<Engine>> {
    let store = ModelStore::new(objects(config).await?);
    Ok(Engine::start_with(inference_settings(config)?, store))
}

/// How models are run.
pub fn inference_settings(config: &Config) -> anyhow::Result<inference::Settings> {
    let executable = std::env::current_exe().ok();
    let inference = &config.inference;
    let key = inference.signing_key.as_deref().map(SigningKey::from_pem).transpose();
    Ok(inference::Settings {
        models_dir: inference.models_dir.clone(),
        library: inference.library.clone(),
        library_folders: inference::library_folders(executable.as_deref(), None),
        sessions_per_model: inference.sessions_per_model,
        queue_depth: inference.queue_depth,
        queue_rows_max: inference.queue_rows_max,
        queue_wait_max: Duration::from_millis(inference.queue_wait_ms_max),
        rows_max: inference.rows_max,
        deadline: Duration::from_millis(inference.deadline_ms),
        execution_provider: inference.execution_provider,
        device_memory_bytes_max: inference.device_memory_bytes_max,
        cache_bytes_max: inference.cache_bytes_max,
        batching: inference.batching.clone(),
        signing_key: key.map_err(|problem| anyhow::anyhow!("inference.signing_key: {problem}"))?,
        refresh: Duration::from_millis(inference.refresh_ms),
    })
}

async fn insight_writer(config: &Config) -> anyhow::Result<Arc<dyn InsightWriter>> {
    match config.insight.writer {
        Writer::Template => Ok(Arc::new(adapters_insight::TemplateWriter)),
        #[cfg(feature = "gemini")]
        Writer::Gemini => language_model::gemini(&config.insight),
        #[cfg(feature = "aws-bedrock")]
        Writer::Bedrock => language_model::bedrock(config).await,
        #[cfg(feature = "openai")]
        Writer::Openai => language_model::openai(&config.insight),
        #[cfg(not(all(feature = "gemini", feature = "aws-bedrock", feature = "openai")))]
        absent => {
            anyhow::bail!(
                "this binary was built without the insight writer {absent:?}: build it with the feature `gemini`, `aws-bedrock` or `openai`"
            )
        }
    }
}

/// The system's clock, and ids of version 7.
pub fn time_and_ids() -> (Arc<dyn Clock>, Arc<dyn IdSource>) {
    (Arc::new(ports::SystemClock), Arc::new(ports::SystemIds))
}

/// A code that was not mailed: address, purpose, code, end.
#[cfg(feature = "local")]
pub async fn dev_codes(config: &Config) -> anyhow::Result<Vec<(String, String, String, String)>> {
    let (clock, ids) = time_and_ids();
    let codes = local::open(config, None, clock, ids).await?.local_identity().dev_codes().await?;
    let row = |code: adapters_local::identity::DevCode| {
        let (purpose, value) = (code.purpose.as_str().to_owned(), code.code.expose_secret().to_owned());
        (code.email.expose().to_owned(), purpose, value, code.expires_at.to_string())
    };
    Ok(codes.into_iter().map(row).collect())
}

/// How many expired records one sweep removes at most, so that it never holds up writers for long.
const SWEPT_MAX: u32 = 1000;

#[cfg(not(feature = "local"))]
pub async fn dev_codes(_: &Config) -> anyhow::Result<Vec<(String, String, String, String)>> {
    Err(without("local"))
}

/// Removes what has expired from stores that do not do so themselves.
pub struct Housekeeping(Providers);

impl Housekeeping {
    pub async fn sweep(&self) -> ports::Result<()> {
        for (provider, cloud) in &self.0.0 {
            let swept = cloud.sweep(SWEPT_MAX).await?;
            if swept > 0 {
                tracing::debug!(%provider, swept, "expired records removed");
            }
        }
        Ok(())
    }
}

impl Connected {
    pub fn housekeeping(&self) -> Housekeeping {
        Housekeeping(self.providers.clone())
    }
}

/// The issuers whose tokens are accepted beside the identity provider's own.
mod issuers {
    use adapters_jwks::{Algorithm, IssuerSettings, Issuers, JwksVerifier};
    use app::external::{AllSessions, IssuerTable};
    use ports::{HealthDataRepository, Identity, Role};

    use super::{Arc, Clock, Duration, IdSource};
    use crate::config::{Group, Issuer, Signature};

    pub(super) fn with(
        external: &[Issuer],
        own: Identity,
        store: &Arc<dyn HealthDataRepository>,
        (clock, ids): (&Arc<dyn Clock>, &Arc<dyn IdSource>),
    ) -> anyhow::Result<Identity> {
        if external.is_empty() {
            return Ok(own);
        }
        let verifier = |issuer| JwksVerifier::new(settings(issuer), Arc::clone(clock));
        let verifiers = external.iter().map(verifier).collect::<ports::Result<_>>()?;
        let issuers = Arc::new(Issuers::new(verifiers)?);
        let time = (Arc::clone(clock), Arc::clone(ids));
        Ok(Identity {
            tokens: Arc::new(IssuerTable::new(own.tokens, issuers, Arc::clone(store), time)),
            sessions: Arc::new(AllSessions::new(own.sessions, Arc::clone(store), Arc::clone(clock))),
            ..own
        })
    }

    fn settings(issuer: &Issuer) -> IssuerSettings {
        let algorithm = |signature: &Signature| match signature {
            Signature::Rs256 => Algorithm::Rs256,
            Signature::Es256 => Algorithm::Es256,
            Signature::EdDsa => Algorithm::EdDsa,
        };
        let role = |(group, role): (&String, &Group)| {
            let role = match role {
                Group::User => Role::User,
                Group::Clinician => Role::Clinician,
                Group::Operator => Role::Operator,
            };
            (group.clone(), role)
        };
        IssuerSettings {
            jwks_url: issuer.jwks_url.clone(),
            audience: issuer.audience.clone(),
            client_ids: issuer.client_ids.iter().cloned().collect(),
            token_use: issuer.token_use.clone(),
            algorithms: issuer.algorithms.iter().map(algorithm).collect(),
            roles_claim: issuer.roles_claim.clone(),
            roles: issuer.roles.iter().map(role).collect(),
            leeway: Duration::from_secs(issuer.leeway_s),
            token_lifetime_max: Duration::from_secs(issuer.token_lifetime_max_s),
            ..IssuerSettings::new(&issuer.name, &issuer.issuer)
        }
    }
}

#[cfg(any(feature = "gemini", feature = "aws-bedrock", feature = "openai"))]
mod language_model {
    use adapters_insight::{Limits, Price};

    use super::*;
    use crate::config::Insight;

    fn limits(config: &Insight) -> Limits {
        Limits {
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            timeout: Duration::from_millis(config.timeout_ms),
            retries_max: config.retries_max,
        }
    }

    fn price(config: &Insight) -> Option<Price> {
        let price = Price {
            input: config.price_input_usd_per_million_tokens,
            output: config.price_output_usd_per_million_tokens,
        };
        (price.input > 0.0 && price.output > 0.0).then_some(price)
    }

    fn required(name: &str, value: Option<&String>) -> anyhow::Result<String> {
        value.cloned().with_context(|| format!("insight.{name} is missing"))
    }

    #[cfg(feature = "gemini")]
    pub(super) fn gemini(config: &Insight) -> anyhow::Result<Arc<dyn InsightWriter>> {
        use crate::config::GeminiRoute;
        let gemini = &config.gemini;
        let (route, credential) = match gemini.route {
            GeminiRoute::AiStudio => (adapters_insight::GeminiRoute::AiStudio, &gemini.api_key),
            GeminiRoute::Vertex => {
                let project = required("gemini.project", gemini.project.as_ref())?;
                let location = required("gemini.location", gemini.location.as_ref())?;
                (adapters_insight::GeminiRoute::Vertex { project, location }, &gemini.access_token)
            }
        };
        let credential = credential.clone().map_or(
            adapters_insight::GoogleCredential::ApplicationDefault,
            adapters_insight::GoogleCredential::Given,
        );
        let (endpoint, model, covered) = (gemini.endpoint(), gemini.model.clone(), gemini.covered);
        let limits = limits(config);
        let settings =
            adapters_insight::GeminiSettings { endpoint, route, credential, model, covered, limits };
        Ok(Arc::new(settings.writer(price(config))?))
    }

    #[cfg(feature = "aws-bedrock")]
    pub(super) async fn bedrock(config: &Config) -> anyhow::Result<Arc<dyn InsightWriter>> {
        let (insight, aws) = (&config.insight, &config.aws);
        let settings = adapters_insight::BedrockSettings {
            region: required("bedrock.region", insight.bedrock.region.as_ref().or(aws.region.as_ref()))?,
            model: required("bedrock.model", insight.bedrock.model.as_ref())?,
            endpoint: insight.bedrock.endpoint.clone(),
            access_key: aws
                .access_key_id
                .clone()
                .zip(aws.secret_access_key.as_ref().map(|secret| secret.expose_secret().to_owned())),
            covered: insight.bedrock.covered,
            limits: limits(insight),
        };
        Ok(Arc::new(settings.writer(price(insight)).await?))
    }

    #[cfg(feature = "openai")]
    pub(super) fn openai(config: &Insight) -> anyhow::Result<Arc<dyn InsightWriter>> {
        let openai = &config.openai;
        let settings = adapters_insight::OpenAiSettings {
            endpoint: required("openai.endpoint", openai.endpoint.as_ref())?,
            api_key: openai.api_key.clone(),
            model: required("openai.model", openai.model.as_ref())?,
            covered: openai.covered,
            limits: limits(config),
        };
        Ok(Arc::new(settings.writer(price(config))?))
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use adapters_postgres::{Database, MigrationState, PlainText, PostgresCloud, Settings, Thoroughness};

    use super::*;
    use crate::config::Scrub;

    /// The database that `postgres.url` names, its tables as they are.
    pub(super) async fn database(config: &Config) -> anyhow::Result<Database> {
        let postgres = &config.postgres;
        let url = postgres.url.as_ref().context("postgres.url is missing: set DATABASE_URL")?;
        let mut settings = Settings::parse(url, PlainText::LoopbackOnly)?;
        settings.connections_min = postgres.connections_min;
        settings.connections_max = postgres.connections_max;
        settings.statement_timeout = Duration::from_millis(postgres.statement_timeout_ms);
        settings.validate()?;
        Database::connect(&settings).await.context("the database that postgres.url names does not answer")
    }

    #[async_trait]
    impl Pool for PostgresCloud {
        async fn state(&self) -> ports::Result<PoolState> {
            let health = self.database().health().await?;
            Ok(PoolState { open: health.connections, idle: health.idle, max: health.connections_max })
        }
    }

    pub(super) async fn open(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<PostgresCloud> {
        let database = database(config).await?;
        if config.postgres.migrate_at_start {
            database.migrate().await.context("the tables could not be brought up to date")?;
        } else {
            let pending =
                database.migrations().await?.iter().any(|status| status.state == MigrationState::Pending);
            anyhow::ensure!(!pending, "the tables are not up to date: run `clarity db migrate`");
        }
        let thoroughness = match config.postgres.scrub {
            Scrub::Reuse => Thoroughness::Reuse,
            Scrub::Rewrite => Thoroughness::Rewrite,
        };
        Ok(PostgresCloud::new(database, config.worker.deliveries_max, thoroughness, clock))
    }
}

/// The versions of a database's tables.
pub mod tables {
    use serde::Serialize;

    #[cfg(feature = "postgres")]
    use super::postgres::database;
    use crate::config::Config;

    #[cfg(not(feature = "postgres"))]
    mod absent {
        use super::{Config, TableVersion};

        type Versions = anyhow::Result<Vec<TableVersion>>;

        fn absent() -> Versions {
            Err(super::super::without("postgres"))
        }

        pub async fn migrate(_: &Config) -> Versions {
            absent()
        }

        pub async fn rollback(_: &Config, _: i64) -> Versions {
            absent()
        }

        pub async fn versions(_: &Config) -> Versions {
            absent()
        }
    }
    #[cfg(not(feature = "postgres"))]
    pub use absent::{migrate, rollback, versions};

    /// One version, and whether the database has it: `applied`, `pending`, or `unknown` where a newer build made it.
    #[derive(Debug, Serialize)]
    pub struct TableVersion {
        pub version: i64,
        pub description: String,
        pub state: &'static str,
    }

    #[cfg(feature = "postgres")]
    pub async fn migrate(config: &Config) -> anyhow::Result<Vec<TableVersion>> {
        database(config).await?.migrate().await?;
        versions(config).await
    }

    #[cfg(feature = "postgres")]
    pub async fn rollback(config: &Config, version: i64) -> anyhow::Result<Vec<TableVersion>> {
        let known = versions(config).await?;
        anyhow::ensure!(
            version == 0 || known.iter().any(|table| table.version == version),
            "there is no version {version}; `clarity db status` lists those there are"
        );
        database(config).await?.rollback(version).await?;
        versions(config).await
    }

    #[cfg(feature = "postgres")]
    pub async fn versions(config: &Config) -> anyhow::Result<Vec<TableVersion>> {
        use adapters_postgres::{MigrationState, MigrationStatus};
        let version = |MigrationStatus { version, description, state }| TableVersion {
            version,
            description,
            state: match state {
                MigrationState::Applied => "applied",
                MigrationState::Pending => "pending",
                MigrationState::Unknown => "unknown",
            },
        };
        Ok(database(config).await?.migrations().await?.into_iter().map(version).collect())
    }
}

/// What a command says that needs adapters which this binary does not hold.
#[cfg(not(all(feature = "local", feature = "postgres", feature = "redis", feature = "aws-cognito")))]
fn without(feature: &str) -> anyhow::Error {
    anyhow::anyhow!("this binary was built without it: build it with `--features {feature}`")
}

/// The resources of an account on AWS.
pub mod aws_resources {
    use crate::config::Config;

    #[cfg(not(feature = "adapters-aws"))]
    mod absent {
        use super::Config;

        pub async fn init(_: &Config, _: bool) -> anyhow::Result<Vec<(&'static str, String)>> {
            Err(super::super::without("aws"))
        }

        pub fn manifest(_: &Config) -> anyhow::Result<serde_json::Value> {
            Err(super::super::without("aws"))
        }
    }
    #[cfg(not(feature = "adapters-aws"))]
    pub use absent::{init, manifest};
    #[cfg(feature = "adapters-aws")]
    use anyhow::Context as _;

    /// What the adapters need to be there, and what their policies must allow.
    #[cfg(feature = "adapters-aws")]
    pub fn manifest(config: &Config) -> anyhow::Result<adapters_aws::resources::Manifest> {
        Ok(adapters_aws::resources::Manifest::of(&super::aws::settings(config)?))
    }

    /// Makes it, with a user pool where that is asked for; answers the kind and name of each.
    #[cfg(feature = "adapters-aws")]
    pub async fn init(config: &Config, with_user_pool: bool) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (clock, ids) = super::time_and_ids();
        let cloud = super::aws::cloud(config, clock, ids).await?;
        let half = "not everything could be made; doing it again is safe";
        adapters_aws::resources::init(&cloud).await.context(half)?;
        let manifest = manifest(config)?;
        let mut made = Vec::new();
        let mut add = |is_linked: bool, kind, names: Vec<String>| {
            made.extend(names.into_iter().filter(|_| is_linked).map(|name| (kind, name)));
        };
        let names = manifest.tables.into_iter().map(|table| table.name);
        add(cfg!(feature = "aws-dynamodb"), "dynamodb table", names.collect());
        let names = manifest.buckets.into_iter().map(|bucket| bucket.name);
        add(cfg!(feature = "aws-s3"), "s3 bucket", names.collect());
        let names = manifest.queues.into_iter().map(|queue| queue.name);
        add(cfg!(feature = "aws-sqs"), "sqs queue", names.collect());
        let names = manifest.topics.into_iter().map(|topic| topic.arn);
        add(cfg!(feature = "aws-sns"), "sns topic", names.collect());
        if with_user_pool {
            #[cfg(feature = "aws-cognito")]
            if let Some(ids) = adapters_aws::resources::init_user_pool(&cloud).await.context(half)? {
                made.push(("cognito user pool", ids.user_pool_id));
                made.push(("cognito app client", ids.client_id));
            }
            #[cfg(not(feature = "aws-cognito"))]
            return Err(super::without("aws-cognito"));
        }
        Ok(made)
    }
}

#[cfg(feature = "adapters-aws")]
mod aws {
    use adapters_aws::{AccessKey, AwsCloud, AwsSettings, Endpoints, SecretService, Timeouts, UserPoolNames};

    use super::*;

    /// Adds the account to `providers`, if a port is served from there.
    pub(super) async fn open(
        config: &Config,
        providers: &mut Providers,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn IdSource>,
    ) -> anyhow::Result<Option<Arc<AwsCloud>>> {
        if config.providers.by_port().into_iter().all(|(_, provider)| provider != Provider::Aws) {
            return Ok(None);
        }
        let aws = Arc::new(cloud(config, Arc::clone(clock), Arc::clone(ids)).await?);
        providers.add(Provider::Aws, Arc::clone(&aws) as _);
        Ok(Some(aws))
    }

    /// The account that `[aws]` names. Opens no connection.
    pub(super) async fn cloud(
        config: &Config,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> anyhow::Result<AwsCloud> {
        Ok(AwsCloud::connect(settings(config)?, clock, ids).await?)
    }

    pub(super) fn settings(config: &Config) -> anyhow::Result<AwsSettings> {
        let aws = &config.aws;
        let keys = aws.access_key_id.clone().zip(aws.secret_access_key.clone());
        Ok(AwsSettings {
            region: aws.region.clone().context("aws.region is missing: set AWS_REGION")?,
            access_key: keys.map(|(id, secret)| AccessKey { id, secret }),
            endpoints: Endpoints {
                default: aws.endpoint.clone(),
                dynamodb: aws.dynamodb_endpoint.clone(),
                s3: aws.s3_endpoint.clone(),
                sqs: aws.sqs_endpoint.clone(),
                sns: aws.sns_endpoint.clone(),
                cognito: aws.cognito_endpoint.clone(),
                secrets_manager: aws.secrets_manager_endpoint.clone(),
                ssm: aws.ssm_endpoint.clone(),
            },
            timeouts: Timeouts {
                connect: Duration::from_millis(aws.connect_timeout_ms),
                attempt: Duration::from_millis(aws.attempt_timeout_ms),
                operation: Duration::from_millis(aws.operation_timeout_ms),
                ..Timeouts::default()
            },
            attempts_max: aws.attempts_max,
            table: aws.table.clone(),
            bucket: aws.bucket.clone(),
            is_path_style: aws.path_style,
            kms_key_id: aws.kms_key_id.clone(),
            spool: None,
            queue: aws.queue.clone(),
            dead_letter_queue: aws.dead_letter_queue.clone(),
            deliveries_max: config.worker.deliveries_max,
            topic_arn: aws.topic_arn.clone().unwrap_or_default(),
            user_pool: UserPoolNames {
                name: aws.user_pool_name.clone(),
                is_srp: aws.sign_in_flow == crate::config::SignInFlow::Srp,
                groups: vec![aws.clinician_group.clone(), aws.operator_group.clone()],
            },
            secret_service: match aws.secret_service {
                crate::config::SecretService::SecretsManager => SecretService::SecretsManager,
                crate::config::SecretService::Ssm => SecretService::Ssm,
            },
            secret_prefix: aws.secret_prefix.clone(),
            secrets_cached_for: Duration::from_secs(aws.secrets_cached_s),
        })
    }

    /// Accounts in the user pool that `[aws]` names; who is signed in is kept in `store`.
    #[cfg(feature = "aws-cognito")]
    pub(super) async fn user_pool(
        cloud: &AwsCloud,
        config: &Config,
        secrets: &dyn SecretStore,
        store: &Arc<dyn ports::HealthDataRepository>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<ports::Identity> {
        use adapters_aws::{CognitoGroups, CognitoSettings, SignInFlow};
        use adapters_jwks::{Algorithm, IssuerSettings, Issuers, JwksVerifier};
        use ports::Role;

        let (aws, identity) = (&config.aws, &config.identity);
        let user_pool_id = aws.user_pool_id.clone().context("aws.user_pool_id is missing")?;
        let client_id = aws.client_id.clone().context("aws.client_id is missing")?;
        let region = aws.region.as_deref().unwrap_or_default();
        let issuer = aws.user_pool_issuer.clone();
        let issuer =
            issuer.unwrap_or_else(|| format!("https://cognito-idp.{region}.amazonaws.com/{user_pool_id}"));
        let verifier = IssuerSettings {
            client_ids: [client_id.clone()].into(),
            token_use: Some("access".to_owned()),
            algorithms: [Algorithm::Rs256].into(),
            roles_claim: Some("cognito:groups".to_owned()),
            roles: [
                (aws.clinician_group.clone(), Role::Clinician),
                (aws.operator_group.clone(), Role::Operator),
            ]
            .into(),
            leeway: Duration::ZERO,
            ..IssuerSettings::new("cognito", &issuer)
        };
        let signatures = Issuers::new(vec![JwksVerifier::new(verifier, Arc::clone(clock))?])?;
        let sealing_key = secret_or_new(secrets, "identity/sealing-key").await?;
        let settings = CognitoSettings {
            user_pool_id,
            client_id,
            client_secret: aws.client_secret.clone(),
            sign_in_flow: match aws.sign_in_flow {
                crate::config::SignInFlow::Password => SignInFlow::Password,
                crate::config::SignInFlow::Srp => SignInFlow::Srp,
            },
            is_rotating: aws.refresh_token_rotation,
            groups: CognitoGroups {
                clinician: aws.clinician_group.clone(),
                operator: aws.operator_group.clone(),
            },
            session_lifetime: Duration::from_secs(identity.refresh_token_lifetime_s),
            session_idle: Duration::from_secs(identity.session_idle_s.min(identity.refresh_token_lifetime_s)),
            sealing_key,
        };
        Ok(cloud.user_pool(settings, Arc::new(signatures), Arc::clone(store))?)
    }
}

#[cfg(feature = "local")]
mod local {
    use adapters_local::{
        LocalCloud, LocalSettings,
        embedded::{FolderObjectStore, PresignKey},
        identity::{CODE_LIFETIME, CodePurpose, CodeSink},
    };
    use ports::Email;
    use secrecy::SecretString;

    use super::*;
    use crate::mail::CodeMail;

    /// Mails codes.
    struct MailedCodes(Arc<dyn Mailer>);

    impl std::fmt::Debug for MailedCodes {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("MailedCodes(..)")
        }
    }

    impl CodeSink for MailedCodes {
        fn deliver(&self, email: &Email, purpose: CodePurpose, code: &SecretString) {
            let kind = match purpose {
                CodePurpose::ConfirmEmail => CodeMail::ConfirmEmail,
                CodePurpose::ResetPassword => CodeMail::ResetPassword,
            };
            let mail = kind.write(email, code, CODE_LIFETIME);
            let mailer = Arc::clone(&self.0);
            // The request that asked for it does not wait, or its time would tell that there is an account.
            tokio::spawn(async move {
                if let Err(error) = mailer.send(mail).await {
                    tracing::error!(error = %error, "a code could not be mailed");
                }
            });
        }
    }

    /// The folder of objects. Who opens no more than this presigns nothing, so any key will do.
    pub(super) async fn objects(config: &Config) -> anyhow::Result<Arc<dyn ObjectStore>> {
        let (clock, ids) = time_and_ids();
        let key = PresignKey::new(rand::random());
        Ok(Arc::new(FolderObjectStore::open(&config.data.dir, "", key, clock, ids).await?))
    }

    pub(super) async fn open(
        config: &Config,
        mailer: Option<Arc<dyn Mailer>>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> anyhow::Result<LocalCloud> {
        let identity = &config.identity;
        let base_url = match &config.server.public_url {
            Some(url) => url.clone(),
            None => format!("http://{}", config.server.listen),
        };
        let settings = LocalSettings {
            data: config.data.dir.clone(),
            base_url,
            deliveries_max: config.worker.deliveries_max,
            identity: adapters_local::identity::Settings {
                access_token_lifetime: Duration::from_secs(identity.access_token_lifetime_s),
                refresh_token_lifetime: Duration::from_secs(identity.refresh_token_lifetime_s),
                email_confirmation_required: identity.email_confirmation_required,
                self_sign_up: identity.self_sign_up,
                session_idle: Duration::from_secs(identity.session_idle_s),
                lockout_failures: identity.lockout_failures,
                lockout_address_failures: identity.lockout_address_failures,
                lockout_duration: Duration::from_secs(identity.lockout_duration_s),
                breached_passwords: identity.breached_passwords_file.clone(),
                code_sink: mailer.map(|mailer| Arc::new(MailedCodes(mailer)) as _),
                keep_codes: config.mail.transport == MailTransport::Log,
                ..adapters_local::identity::Settings::new(&identity.issuer, &identity.audience)
            },
        };
        let cloud = LocalCloud::open(settings, clock, ids).await;
        cloud.with_context(|| format!("the data folder {} could not be opened", config.data.dir.display()))
    }

    impl PresignedObjects for LocalCloud {
        fn verify(&self, key: &ObjectKey, method: &str, query: &str) -> Option<PresignedMethod> {
            let query = serde_urlencoded::from_str(query).ok()?;
            self.verify_presigned(method, key, &query).ok().map(|granted| granted.method)
        }
    }
}
