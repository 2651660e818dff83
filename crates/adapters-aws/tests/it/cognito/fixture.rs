//! A fresh user pool for each test.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use adapters_aws::{AwsCloud, AwsSettings, CognitoGroups, CognitoSettings, SignInFlow, Timeouts};
use adapters_jwks::{Algorithm, IssuerSettings, Issuers, JwksVerifier};
use adapters_local::{
    SystemClock, SystemIds,
    memory::{MemoryHealthData, MemorySharedState},
};
use app::lockout::LockoutSettings;
use aws_sdk_cognitoidentityprovider::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{
        ExplicitAuthFlowsType, PasswordPolicyType, UserPoolMfaType, UserPoolPolicyType,
        UsernameAttributeType, VerifiedAttributeType,
    },
};
use conformance::{IdentityFixture, Mailbox, RotateKeys, TimeControl};
use futures::future::BoxFuture;
use harness::{CognitoLocal, Moto};
use jiff::{SignedDuration, Timestamp};
use ports::{Clock, Email, HealthDataRepository, Identity, Role};
use secrecy::{SecretSlice, SecretString};
use serde_json::Value;

use crate::fixture::settings_at;

pub(crate) const SESSION_LIFETIME: Duration = Duration::from_hours(7 * 24);
pub(crate) const SESSION_IDLE: Duration = Duration::from_hours(2 * 24);
const REGION: &str = "eu-central-1";

/// The emulator's clock, to the nanosecond.
pub(crate) struct EmulatorClock {
    /// Where it is moved; only a server of the test's own may be.
    server: Option<CognitoLocal>,
    ahead_ms: AtomicI64,
}

impl Clock for EmulatorClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

impl TimeControl for EmulatorClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let server = self.server.as_ref().unwrap();
            let moved = reqwest::Client::new().post(server.clock_url(by.as_millis())).send().await.unwrap();
            let ahead = moved.error_for_status().unwrap().text().await.unwrap();
            self.ahead_ms.store(ahead.parse().unwrap(), Ordering::SeqCst);
        })
    }
}

/// A user pool, and how this service is told to use it.
pub(crate) struct Pool {
    pub(crate) client: Client,
    pub(crate) aws: AwsSettings,
    pub(crate) settings: CognitoSettings,
    pub(crate) issuer: String,
    pub(crate) jwks_url: Option<String>,
    pub(crate) clock: Arc<EmulatorClock>,
    pub(crate) store: Arc<dyn HealthDataRepository>,
}

impl Pool {
    /// A pool of cognito-local's.
    pub(crate) async fn local(server: &CognitoLocal, is_own: bool) -> Self {
        let clock = EmulatorClock { server: is_own.then(|| server.clone()), ahead_ms: AtomicI64::new(0) };
        let mut pool = Self::make(settings_at(&server.url(), REGION), clock, (false, false)).await;
        pool.issuer = format!("{}/{}", server.url(), pool.settings.user_pool_id);
        pool
    }

    /// A pool of moto's, whose app client has a secret, and whose passwords must have digits, where that is asked for.
    pub(crate) async fn moto(has_secret: bool, needs_digits: bool) -> Self {
        let server = Moto::start().unwrap();
        let clock = EmulatorClock { server: None, ahead_ms: AtomicI64::new(0) };
        let options = (has_secret, needs_digits);
        let mut pool = Self::make(settings_at(server.url(), server.region()), clock, options).await;
        let id = &pool.settings.user_pool_id;
        pool.jwks_url = Some(format!("{}/{id}/.well-known/jwks.json", server.url()));
        pool.issuer = format!("https://cognito-idp.{}.amazonaws.com/{id}", server.region());
        pool
    }

    /// No pool, but whatever answers at `url`.
    pub(crate) fn scripted(url: &str) -> Self {
        let mut aws = settings_at(url, REGION);
        aws.timeouts = Timeouts {
            connect: Duration::from_secs(2),
            attempt: Duration::from_millis(500),
            operation: Duration::from_secs(20),
            ..Timeouts::default()
        };
        let settings = CognitoSettings {
            user_pool_id: "eu-central-1_AbCdEfGhI".to_owned(),
            client_id: "client".to_owned(),
            client_secret: Some("secret".into()),
            sign_in_flow: SignInFlow::Password,
            is_rotating: false,
            groups: CognitoGroups { clinician: "clinicians".to_owned(), operator: "operators".to_owned() },
            session_lifetime: SESSION_LIFETIME,
            session_idle: SESSION_IDLE,
            sealing_key: SecretSlice::from(vec![7; 32]),
        };
        let clock = Arc::new(EmulatorClock { server: None, ahead_ms: AtomicI64::new(0) });
        let store = Arc::new(MemoryHealthData::new(Arc::clone(&clock) as _));
        let issuer = format!("{url}/pool");
        Self { client: client(&aws), aws, settings, issuer, jwks_url: None, clock, store }
    }

    async fn make(aws: AwsSettings, clock: EmulatorClock, (has_secret, needs_digits): (bool, bool)) -> Self {
        let client = client(&aws);
        let policy = PasswordPolicyType::builder().minimum_length(8).require_numbers(needs_digits);
        let policy = policy.require_lowercase(false).require_uppercase(false).require_symbols(false);
        let made = client
            .create_user_pool()
            .pool_name("people")
            .username_attributes(UsernameAttributeType::Email)
            .auto_verified_attributes(VerifiedAttributeType::Email)
            .mfa_configuration(UserPoolMfaType::Optional)
            .policies(UserPoolPolicyType::builder().password_policy(policy.build()).build());
        let user_pool_id = made.send().await.unwrap().user_pool.unwrap().id.unwrap();
        let app = client.create_user_pool_client().user_pool_id(&user_pool_id).client_name("clarity");
        let app = app
            .generate_secret(has_secret)
            .enable_token_revocation(true)
            .access_token_validity(1)
            .refresh_token_validity(7)
            .explicit_auth_flows(ExplicitAuthFlowsType::AllowUserPasswordAuth)
            .explicit_auth_flows(ExplicitAuthFlowsType::AllowUserSrpAuth)
            .explicit_auth_flows(ExplicitAuthFlowsType::AllowRefreshTokenAuth);
        let app = app.send().await.unwrap().user_pool_client.unwrap();
        let groups = CognitoGroups { clinician: "clinicians".to_owned(), operator: "operators".to_owned() };
        for group in [&groups.clinician, &groups.operator] {
            client.create_group().user_pool_id(&user_pool_id).group_name(group).send().await.unwrap();
        }
        let settings = CognitoSettings {
            user_pool_id,
            client_id: app.client_id.unwrap(),
            client_secret: app.client_secret.filter(|_| has_secret).map(SecretString::from),
            sign_in_flow: SignInFlow::Password,
            is_rotating: false,
            groups,
            session_lifetime: SESSION_LIFETIME,
            session_idle: SESSION_IDLE,
            sealing_key: SecretSlice::from(vec![7; 32]),
        };
        let clock = Arc::new(clock);
        let store = Arc::new(MemoryHealthData::new(Arc::clone(&clock) as _));
        Self { client, aws, settings, issuer: String::new(), jwks_url: None, clock, store }
    }

    /// The ports, as the composition root opens them.
    pub(crate) async fn open(&self) -> Identity {
        let mut issuer = IssuerSettings::new("cognito", &self.issuer);
        issuer.jwks_url = self.jwks_url.clone();
        issuer.client_ids = [self.settings.client_id.clone()].into();
        issuer.token_use = Some("access".to_owned());
        issuer.algorithms = [Algorithm::Rs256].into();
        issuer.roles_claim = Some("cognito:groups".to_owned());
        issuer.roles = BTreeMap::from([
            (self.settings.groups.clinician.clone(), Role::Clinician),
            (self.settings.groups.operator.clone(), Role::Operator),
        ]);
        issuer.leeway = Duration::ZERO;
        let verifier = JwksVerifier::new(issuer, Arc::clone(&self.clock) as _).unwrap();
        let signatures = Arc::new(Issuers::new(vec![verifier]).unwrap());
        let cloud =
            AwsCloud::connect(self.aws.clone(), Arc::clone(&self.clock) as _, Arc::new(SystemIds)).await;
        cloud.unwrap().user_pool(self.settings.clone(), signatures, Arc::clone(&self.store)).unwrap()
    }
}

/// A client for what only tests do.
pub(crate) fn client(aws: &AwsSettings) -> Client {
    let config = aws_sdk_cognitoidentityprovider::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(aws.endpoints.default.as_ref().unwrap());
    Client::from_conf(config.build())
}

/// What cognito-local mailed.
pub(crate) struct LocalMailbox(pub(crate) CognitoLocal);

impl Mailbox for LocalMailbox {
    fn latest_code(&self, email: &Email) -> BoxFuture<'_, Option<String>> {
        let to = email.expose().to_owned();
        Box::pin(async move {
            let mail = self.0.mail();
            let mut mail = mail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            mail.rfind(|mail| mail["to"] == to.as_str())?["code"].as_str().map(str::to_owned)
        })
    }
}

/// On the shared server, or on one of its own, whose clock the test may move.
pub(crate) async fn identity_fixture(is_own: bool) -> IdentityFixture {
    fixture(is_own, |identity, _| identity).await
}

/// The same, with the locks that the composition root adds.
pub(crate) async fn locking_fixture(is_own: bool) -> IdentityFixture {
    let settings = LockoutSettings { failures: 5, address_failures: 20, duration: Duration::from_mins(15) };
    let locking = |identity, clock: Arc<dyn Clock>| {
        let shared = Arc::new(MemorySharedState::new(Arc::clone(&clock)));
        let key = SecretSlice::from(vec![9; 32]);
        app::lockout::locking(identity, shared, settings, &key, (clock, Arc::new(SystemIds)))
    };
    fixture(is_own, locking).await
}

async fn fixture(is_own: bool, joined: impl FnOnce(Identity, Arc<dyn Clock>) -> Identity) -> IdentityFixture {
    let server = if is_own { CognitoLocal::own() } else { CognitoLocal::shared() }.unwrap();
    let pool = Pool::local(&server, is_own).await;
    let identity = joined(pool.open().await, Arc::clone(&pool.clock) as _);
    // A pool rotates its keys by itself, and cognito-local has but one.
    let rotate_keys: RotateKeys = Box::new(|| Box::pin(async { Ok(()) }));
    IdentityFixture {
        identity: identity.accounts,
        verifier: identity.tokens,
        sessions: identity.sessions,
        multi_factor: identity.multi_factor,
        mailbox: Arc::new(LocalMailbox(server)),
        time: Arc::clone(&pool.clock) as _,
        rotate_keys,
        guard: Box::new(()),
    }
}
