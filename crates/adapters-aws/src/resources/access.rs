//! Which calls the adapters make, and so which actions a policy must allow. A debug build refuses to make any other.

use serde::Serialize;

use super::Manifest;

/// Who makes a call: processes that serve and work, or `clarity cloud init`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    Service,
    Setup,
}
use Caller::{Service, Setup};

/// What a call is made on. Each is a statement of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Table,
    Bucket,
    Objects,
    JobQueues,
    EventQueues,
    Topic,
    /// AWS knows no resource of these, so any is named.
    Any,
    Secrets,
    Parameters,
    UserPool,
}

/// A call of the SDK, by the service and the operation as the SDK names them.
struct Call {
    service: &'static str,
    operation: &'static str,
    caller: Caller,
    on: On,
    /// What it needs; nothing where it is the person who is authorised and not the process.
    actions: &'static [&'static str],
}

const fn call(
    service: &'static str,
    operation: &'static str,
    (caller, on): (Caller, On),
    actions: &'static [&'static str],
) -> Call {
    Call { service, operation, caller, on, actions }
}

const DYNAMODB: &str = "DynamoDB";
const S3: &str = "S3";
const SQS: &str = "SQS";
const SNS: &str = "SNS";
const SECRETS: &str = "Secrets Manager";
const SSM: &str = "SSM";
const COGNITO: &str = "Cognito Identity Provider";

#[rustfmt::skip] // A table.
const CALLS: &[Call] = &[
    call(DYNAMODB, "GetItem", (Service, On::Table), &["dynamodb:GetItem"]),
    call(DYNAMODB, "Query", (Service, On::Table), &["dynamodb:Query"]),
    call(DYNAMODB, "Scan", (Service, On::Table), &["dynamodb:Scan"]),
    call(DYNAMODB, "TransactWriteItems", (Service, On::Table), &["dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"]),
    call(DYNAMODB, "CreateTable", (Setup, On::Table), &["dynamodb:CreateTable"]),
    call(DYNAMODB, "DescribeTable", (Setup, On::Table), &["dynamodb:DescribeTable"]),
    call(DYNAMODB, "DescribeTimeToLive", (Setup, On::Table), &["dynamodb:DescribeTimeToLive"]),
    call(DYNAMODB, "UpdateTimeToLive", (Setup, On::Table), &["dynamodb:UpdateTimeToLive"]),
    call(DYNAMODB, "UpdateContinuousBackups", (Setup, On::Table), &["dynamodb:UpdateContinuousBackups"]),
    call(S3, "GetObject", (Service, On::Objects), &["s3:GetObject"]),
    call(S3, "HeadObject", (Service, On::Objects), &["s3:GetObject"]),
    call(S3, "PutObject", (Service, On::Objects), &["s3:PutObject"]),
    call(S3, "CreateMultipartUpload", (Service, On::Objects), &["s3:PutObject"]),
    call(S3, "UploadPart", (Service, On::Objects), &["s3:PutObject"]),
    call(S3, "CompleteMultipartUpload", (Service, On::Objects), &["s3:PutObject"]),
    call(S3, "AbortMultipartUpload", (Service, On::Objects), &["s3:AbortMultipartUpload"]),
    call(S3, "DeleteObjects", (Service, On::Objects), &["s3:DeleteObjectVersion"]),
    call(S3, "ListObjectsV2", (Service, On::Bucket), &["s3:ListBucket"]),
    call(S3, "ListObjectVersions", (Service, On::Bucket), &["s3:ListBucketVersions"]),
    call(S3, "CreateBucket", (Setup, On::Bucket), &["s3:CreateBucket"]),
    call(S3, "PutPublicAccessBlock", (Setup, On::Bucket), &["s3:PutBucketPublicAccessBlock"]),
    call(S3, "PutBucketEncryption", (Setup, On::Bucket), &["s3:PutEncryptionConfiguration"]),
    call(S3, "PutBucketVersioning", (Setup, On::Bucket), &["s3:PutBucketVersioning"]),
    call(S3, "PutBucketLifecycleConfiguration", (Setup, On::Bucket), &["s3:PutLifecycleConfiguration"]),
    call(SQS, "SendMessage", (Service, On::JobQueues), &["sqs:SendMessage"]),
    call(SQS, "ReceiveMessage", (Service, On::JobQueues), &["sqs:ReceiveMessage"]),
    call(SQS, "DeleteMessage", (Service, On::JobQueues), &["sqs:DeleteMessage"]),
    call(SQS, "ChangeMessageVisibility", (Service, On::JobQueues), &["sqs:ChangeMessageVisibility"]),
    call(SQS, "GetQueueUrl", (Service, On::JobQueues), &["sqs:GetQueueUrl"]),
    call(SQS, "GetQueueAttributes", (Service, On::JobQueues), &["sqs:GetQueueAttributes"]),
    // It is made with a tag.
    call(SQS, "CreateQueue", (Service, On::EventQueues), &["sqs:CreateQueue", "sqs:TagQueue"]),
    call(SQS, "GetQueueAttributes", (Service, On::EventQueues), &["sqs:GetQueueAttributes"]),
    call(SQS, "SetQueueAttributes", (Service, On::EventQueues), &["sqs:SetQueueAttributes"]),
    call(SQS, "ReceiveMessage", (Service, On::EventQueues), &["sqs:ReceiveMessage"]),
    call(SQS, "DeleteMessageBatch", (Service, On::EventQueues), &["sqs:DeleteMessage"]),
    call(SQS, "DeleteQueue", (Service, On::EventQueues), &["sqs:DeleteQueue"]),
    call(SQS, "CreateQueue", (Setup, On::JobQueues), &["sqs:CreateQueue"]),
    call(SQS, "GetQueueAttributes", (Setup, On::JobQueues), &["sqs:GetQueueAttributes"]),
    call(SNS, "Publish", (Service, On::Topic), &["sns:Publish"]),
    call(SNS, "Subscribe", (Service, On::Topic), &["sns:Subscribe"]),
    call(SNS, "Unsubscribe", (Service, On::Any), &["sns:Unsubscribe"]),
    call(SNS, "CreateTopic", (Setup, On::Topic), &["sns:CreateTopic"]),
    call(SECRETS, "GetSecretValue", (Service, On::Secrets), &["secretsmanager:GetSecretValue"]),
    call(SECRETS, "PutSecretValue", (Service, On::Secrets), &["secretsmanager:PutSecretValue"]),
    call(SECRETS, "CreateSecret", (Service, On::Secrets), &["secretsmanager:CreateSecret"]),
    call(SSM, "GetParameter", (Service, On::Parameters), &["ssm:GetParameter"]),
    call(SSM, "PutParameter", (Service, On::Parameters), &["ssm:PutParameter"]),
    call(SSM, "LabelParameterVersion", (Service, On::Parameters), &["ssm:LabelParameterVersion"]),
    call(COGNITO, "AdminAddUserToGroup", (Service, On::UserPool), &["cognito-idp:AdminAddUserToGroup"]),
    call(COGNITO, "AdminDeleteUser", (Service, On::UserPool), &["cognito-idp:AdminDeleteUser"]),
    call(COGNITO, "AdminDeleteUserAttributes", (Service, On::UserPool), &["cognito-idp:AdminDeleteUserAttributes"]),
    call(COGNITO, "AdminDisableUser", (Service, On::UserPool), &["cognito-idp:AdminDisableUser"]),
    call(COGNITO, "AdminEnableUser", (Service, On::UserPool), &["cognito-idp:AdminEnableUser"]),
    call(COGNITO, "AdminGetUser", (Service, On::UserPool), &["cognito-idp:AdminGetUser"]),
    call(COGNITO, "AdminListGroupsForUser", (Service, On::UserPool), &["cognito-idp:AdminListGroupsForUser"]),
    call(COGNITO, "AdminRemoveUserFromGroup", (Service, On::UserPool), &["cognito-idp:AdminRemoveUserFromGroup"]),
    call(COGNITO, "AdminSetUserMFAPreference", (Service, On::UserPool), &["cognito-idp:AdminSetUserMFAPreference"]),
    call(COGNITO, "AdminUpdateUserAttributes", (Service, On::UserPool), &["cognito-idp:AdminUpdateUserAttributes"]),
    call(COGNITO, "AdminUserGlobalSignOut", (Service, On::UserPool), &["cognito-idp:AdminUserGlobalSignOut"]),
    call(COGNITO, "AssociateSoftwareToken", (Service, On::UserPool), &[]),
    call(COGNITO, "ConfirmForgotPassword", (Service, On::UserPool), &[]),
    call(COGNITO, "ConfirmSignUp", (Service, On::UserPool), &[]),
    call(COGNITO, "ForgotPassword", (Service, On::UserPool), &[]),
    call(COGNITO, "GetTokensFromRefreshToken", (Service, On::UserPool), &[]),
    call(COGNITO, "InitiateAuth", (Service, On::UserPool), &[]),
    call(COGNITO, "ResendConfirmationCode", (Service, On::UserPool), &[]),
    call(COGNITO, "RespondToAuthChallenge", (Service, On::UserPool), &[]),
    call(COGNITO, "RevokeToken", (Service, On::UserPool), &[]),
    call(COGNITO, "SetUserMFAPreference", (Service, On::UserPool), &[]),
    call(COGNITO, "SignUp", (Service, On::UserPool), &[]),
    call(COGNITO, "VerifySoftwareToken", (Service, On::UserPool), &[]),
    call(COGNITO, "ListUserPools", (Setup, On::Any), &["cognito-idp:ListUserPools"]),
    call(COGNITO, "CreateUserPool", (Setup, On::Any), &["cognito-idp:CreateUserPool"]),
    call(COGNITO, "ListUserPoolClients", (Setup, On::UserPool), &["cognito-idp:ListUserPoolClients"]),
    call(COGNITO, "CreateUserPoolClient", (Setup, On::UserPool), &["cognito-idp:CreateUserPoolClient"]),
    call(COGNITO, "CreateGroup", (Setup, On::UserPool), &["cognito-idp:CreateGroup"]),
];

/// Whether the adapters are meant to make a call, so that policies allow it.
#[cfg(debug_assertions)]
pub(crate) fn is_foreseen(service: &str, operation: &str) -> bool {
    CALLS.iter().any(|call| call.service == service && call.operation == operation)
}

/// Who acts, and what they must be allowed.
#[derive(Clone, Debug, Serialize)]
pub struct Role {
    /// `service`: processes that serve and work. `setup`: `clarity cloud init`.
    pub name: &'static str,
    /// The policy, in IAM's own words.
    pub policy: Policy,
}

/// An IAM policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    /// What is allowed.
    pub statement: Vec<Statement>,
}

/// A statement of a policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: String,
    effect: &'static str,
    /// The actions that are allowed.
    pub action: Vec<String>,
    /// On what, as ARNs.
    pub resource: Vec<String>,
}

impl Policy {
    pub(super) fn roles(manifest: &Manifest, kms_key_id: Option<&str>) -> Vec<Role> {
        let role = |name, caller| Role { name, policy: Self::of(manifest, kms_key_id, caller) };
        vec![role("service", Service), role("setup", Setup)]
    }

    fn of(manifest: &Manifest, kms_key_id: Option<&str>, caller: Caller) -> Self {
        let is_ssm = manifest.secrets.iter().any(|secrets| secrets.service == "ssm");
        let mut statement: Vec<Statement> = Vec::new();
        for call in CALLS.iter().filter(|call| call.caller == caller && !call.actions.is_empty()) {
            // Only one of the two keeps secrets.
            if call.on == if is_ssm { On::Secrets } else { On::Parameters } {
                continue;
            }
            let sid = format!("{:?}", call.on);
            let at = statement.iter().position(|statement| statement.sid == sid).unwrap_or_else(|| {
                let resource = resources(manifest, call.on);
                statement.push(Statement { sid, effect: "Allow", action: Vec::new(), resource });
                statement.len() - 1
            });
            let allowed = &mut statement[at].action;
            for action in call.actions {
                if !allowed.iter().any(|other| other == action) {
                    allowed.push((*action).to_owned());
                }
            }
        }
        if let Some(key) = kms_key_id {
            let action = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"].map(str::to_owned).to_vec();
            let resource = vec![if key.starts_with("arn:") {
                key.to_owned()
            } else {
                arn(manifest, "kms", &format!("key/{key}"))
            }];
            statement.push(Statement { sid: "Key".to_owned(), effect: "Allow", action, resource });
        }
        Self { version: "2012-10-17", statement }
    }
}

fn arn(manifest: &Manifest, service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{}:{}:{resource}", manifest.region, manifest.account)
}

fn resources(manifest: &Manifest, on: On) -> Vec<String> {
    let prefixes = || manifest.secrets.iter().map(|secrets| secrets.prefix.as_str());
    match on {
        On::Table => {
            let tables = manifest.tables.iter();
            tables.map(|table| arn(manifest, "dynamodb", &format!("table/{}", table.name))).collect()
        }
        On::Bucket => manifest.buckets.iter().map(|bucket| format!("arn:aws:s3:::{}", bucket.name)).collect(),
        On::Objects => {
            manifest.buckets.iter().map(|bucket| format!("arn:aws:s3:::{}/*", bucket.name)).collect()
        }
        On::JobQueues => manifest.queues.iter().map(|queue| arn(manifest, "sqs", &queue.name)).collect(),
        On::EventQueues => vec![arn(manifest, "sqs", "clarity-events-*")],
        On::Topic => manifest.topics.iter().map(|topic| topic.arn.clone()).collect(),
        On::Any => vec!["*".to_owned()],
        On::Secrets => {
            prefixes().map(|prefix| arn(manifest, "secretsmanager", &format!("secret:{prefix}*"))).collect()
        }
        On::Parameters => {
            prefixes().map(|prefix| arn(manifest, "ssm", &format!("parameter/{prefix}*"))).collect()
        }
        // A pool's id is given when it is made.
        On::UserPool => vec![arn(manifest, "cognito-idp", "userpool/*")],
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The source of this crate, but for this file.
    fn source(folder: &Path) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                text += &source(&path);
            } else if path.file_name().is_some_and(|name| name != "access.rs") {
                text += &fs::read_to_string(&path).unwrap();
            }
        }
        text
    }

    /// The SDK's method for an operation.
    fn method(operation: &str) -> String {
        let operation = operation.replace("MFA", "Mfa").replace("V2", "_v2");
        let mut method = String::new();
        for letter in operation.chars() {
            if letter.is_ascii_uppercase() && !method.is_empty() {
                method.push('_');
            }
            method.push(letter.to_ascii_lowercase());
        }
        method
    }

    /// That there is no call beside these is what a debug build refuses, so every test of the adapters shows it.
    #[test]
    fn no_action_is_allowed_that_nothing_calls() {
        let source = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        for call in CALLS {
            let method = match call.operation {
                // The SDK's own wait for a table.
                "DescribeTable" => "wait_until_table_exists".to_owned(),
                operation => method(operation),
            };
            assert!(source.contains(&format!(".{method}()")), "{} is called nowhere", call.operation);
        }
    }
}
