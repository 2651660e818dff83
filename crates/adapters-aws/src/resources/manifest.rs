//! What has to be there, as one value: `init` makes it, and Terraform and policies read it as JSON.

use serde::Serialize;

use super::access::{Policy, Role};
use crate::{AwsSettings, SecretService};

/// The attribute of the partition, of the rest of the key, and of the second at which an item ends.
pub(crate) const PARTITION: &str = "pk";
pub(crate) const SORT: &str = "sk";
pub(crate) const EXPIRY: &str = "x";

/// SQS's most: 14 days.
const RETENTION_SECONDS: u32 = 14 * 24 * 60 * 60;

/// The adapter moves dead letters itself, with their reason. SQS moves what a crash left, after so many deliveries more.
const DELIVERIES_BEYOND: u32 = 10;

/// Everything that the adapters need of one account. Serialised, it is what Terraform reads by `jsondecode(file(...))`.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// Where all of it is.
    pub region: String,
    /// Whose; `*` where the configuration does not tell.
    pub account: String,
    /// Records.
    pub tables: Vec<Table>,
    /// Objects.
    pub buckets: Vec<Bucket>,
    /// Jobs, and those that were given up.
    pub queues: Vec<Queue>,
    /// Events.
    pub topics: Vec<Topic>,
    /// Accounts.
    pub user_pools: Vec<UserPool>,
    /// Secrets. Processes make each when it is first wanted.
    pub secrets: Vec<Secrets>,
    /// Who may do what.
    pub roles: Vec<Role>,
}

/// A DynamoDB table: two text keys, no index, paid by the request.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The partition key.
    pub partition_key: &'static str,
    /// The sort key.
    pub sort_key: &'static str,
    /// `PAY_PER_REQUEST`.
    pub billing_mode: &'static str,
    /// The attribute that tells when an item ends.
    pub expiry_attribute: &'static str,
    /// Whether backups go on all the time.
    pub point_in_time_recovery: bool,
    /// What seals it; `None` for DynamoDB's own key.
    pub kms_key_id: Option<String>,
}

/// An S3 bucket, of which nothing is public.
#[derive(Clone, Debug, Serialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What is overwritten by mistake can be brought back; a delete removes every version.
    pub versioned: bool,
    /// All four kinds of public access.
    pub public_access_blocked: bool,
    /// `AES256` or `aws:kms`.
    pub encryption: &'static str,
    /// What seals it; `None` for S3's own key.
    pub kms_key_id: Option<String>,
    /// After how many days the parts of uploads that were never finished go.
    pub unfinished_uploads_days: i32,
}

/// An SQS queue.
#[derive(Clone, Debug, Serialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it keeps the order.
    pub fifo: bool,
    /// For how long it keeps a message.
    pub retention_seconds: u32,
    /// What seals it; `None` for SQS's own key.
    pub kms_key_id: Option<String>,
    /// Where messages go that were delivered too often.
    pub dead_letters: Option<DeadLetters>,
}

/// A queue's redrive policy.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetters {
    /// The name of the queue that they go to.
    pub queue: String,
    /// After how many deliveries.
    pub deliveries_max: u32,
}

/// An SNS topic.
#[derive(Clone, Debug, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its name to the API.
    pub arn: String,
    /// Whether it keeps the order.
    pub fifo: bool,
    /// What seals it; `None` for none.
    pub kms_key_id: Option<String>,
}

/// A Cognito user pool and its app client. Other pools will do, see `docs/aws-cognito.md`.
#[derive(Clone, Debug, Serialize)]
pub struct UserPool {
    /// Its name, which is not its id.
    pub name: String,
    /// What people sign in with.
    pub username_attributes: Vec<&'static str>,
    /// What a code confirms.
    pub auto_verified_attributes: Vec<&'static str>,
    /// `OPTIONAL`: each person turns it on.
    pub mfa_configuration: &'static str,
    /// The least length of a password.
    pub password_characters_min: i32,
    /// The groups that stand for roles.
    pub groups: Vec<String>,
    /// The app client.
    pub client: PoolClient,
}

/// The app client of a user pool.
#[derive(Clone, Debug, Serialize)]
pub struct PoolClient {
    /// Its name, which is not its id.
    pub name: String,
    /// Whether it has a secret, so that only this service can use it.
    pub generate_secret: bool,
    /// So that tokens name their sign-in.
    pub enable_token_revocation: bool,
    /// `ENABLED`: unknown addresses look like known ones.
    pub prevent_user_existence_errors: &'static str,
    /// How a sign-in and a refresh are done.
    pub explicit_auth_flows: Vec<&'static str>,
    /// How long a challenge lives.
    pub auth_session_validity_minutes: i32,
}

/// Where secrets are.
#[derive(Clone, Debug, Serialize)]
pub struct Secrets {
    /// `secretsmanager` or `ssm`.
    pub service: &'static str,
    /// What their names begin with.
    pub prefix: String,
    /// What seals them; `None` for the service's own key.
    pub kms_key_id: Option<String>,
}

impl Manifest {
    /// What `settings` name.
    pub fn of(settings: &AwsSettings) -> Self {
        let kms_key_id = settings.kms_key_id.clone();
        // arn:aws:sns:REGION:ACCOUNT:NAME
        let account = settings.topic_arn.split(':').nth(4).filter(|account| !account.is_empty());
        let mut manifest = Self {
            region: settings.region.clone(),
            account: account.unwrap_or("*").to_owned(),
            tables: vec![Table {
                name: settings.table.clone(),
                partition_key: PARTITION,
                sort_key: SORT,
                billing_mode: "PAY_PER_REQUEST",
                expiry_attribute: EXPIRY,
                point_in_time_recovery: true,
                kms_key_id: kms_key_id.clone(),
            }],
            buckets: vec![Bucket {
                name: settings.bucket.clone(),
                versioned: true,
                public_access_blocked: true,
                encryption: if kms_key_id.is_some() { "aws:kms" } else { "AES256" },
                kms_key_id: kms_key_id.clone(),
                unfinished_uploads_days: 1,
            }],
            queues: queues(settings),
            topics: topic(settings).into_iter().collect(),
            user_pools: vec![user_pool(settings)],
            secrets: vec![Secrets {
                service: match settings.secret_service {
                    SecretService::SecretsManager => "secretsmanager",
                    SecretService::Ssm => "ssm",
                },
                prefix: settings.secret_prefix.clone(),
                kms_key_id,
            }],
            roles: Vec::new(),
        };
        manifest.roles = Policy::roles(&manifest, settings.kms_key_id.as_deref());
        manifest
    }
}

/// The dead letters first: the other one names them.
fn queues(settings: &AwsSettings) -> Vec<Queue> {
    let dead = Queue {
        name: settings.dead_letter_queue.clone(),
        fifo: true,
        retention_seconds: RETENTION_SECONDS,
        kms_key_id: settings.kms_key_id.clone(),
        dead_letters: None,
    };
    let dead_letters = DeadLetters {
        queue: dead.name.clone(),
        deliveries_max: settings.deliveries_max.saturating_add(DELIVERIES_BEYOND),
    };
    let jobs = Queue { name: settings.queue.clone(), dead_letters: Some(dead_letters), ..dead.clone() };
    vec![dead, jobs]
}

fn topic(settings: &AwsSettings) -> Option<Topic> {
    let name = settings.topic_arn.rsplit(':').next().filter(|name| !name.is_empty())?;
    Some(Topic {
        name: name.to_owned(),
        arn: settings.topic_arn.clone(),
        fifo: true,
        kms_key_id: settings.kms_key_id.clone(),
    })
}

fn user_pool(settings: &AwsSettings) -> UserPool {
    let pool = &settings.user_pool;
    let sign_in = if pool.is_srp { "ALLOW_USER_SRP_AUTH" } else { "ALLOW_USER_PASSWORD_AUTH" };
    UserPool {
        name: pool.name.clone(),
        username_attributes: vec!["email"],
        auto_verified_attributes: vec!["email"],
        mfa_configuration: "OPTIONAL",
        password_characters_min: 8,
        groups: pool.groups.clone(),
        client: PoolClient {
            name: pool.name.clone(),
            generate_secret: true,
            enable_token_revocation: true,
            prevent_user_existence_errors: "ENABLED",
            explicit_auth_flows: vec![sign_in, "ALLOW_REFRESH_TOKEN_AUTH"],
            auth_session_validity_minutes: 5,
        },
    }
}
