//! What `init` makes on moto is what the manifest says, to the last resource and setting that moto keeps.

use std::collections::BTreeSet;

use adapters_aws::{
    SecretService,
    resources::{Manifest, init, init_user_pool},
};
use aws_sdk_cognitoidentityprovider::types::{
    ExplicitAuthFlowsType, UsernameAttributeType, VerifiedAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use harness::Moto;
use serde_json::{Value, json};

use crate::fixture::{Account, settings};

/// The configuration of a client of one of the SDKs, on the account.
macro_rules! client {
    ($sdk:ident, $account:expr) => {{
        let settings = &$account.settings;
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($sdk::config::Region::new(settings.region.clone()))
            .credentials_provider($sdk::config::Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(settings.endpoints.default.clone().unwrap());
        config
    }};
}

/// Both as sets of names.
fn assert_same<'a>(made: impl IntoIterator<Item = String>, named: impl IntoIterator<Item = &'a String>) {
    let made: BTreeSet<String> = made.into_iter().collect();
    assert_eq!(made, named.into_iter().cloned().collect::<BTreeSet<_>>());
}

#[tokio::test]
async fn the_table_is_the_manifests() {
    let account = Account::fresh().await;
    let manifest = Manifest::of(&account.settings);
    let client = aws_sdk_dynamodb::Client::from_conf(client!(aws_sdk_dynamodb, account).build());
    let tables = client.list_tables().send().await.unwrap().table_names.unwrap();
    assert_same(tables, manifest.tables.iter().map(|table| &table.name));
    for table in &manifest.tables {
        let made = client.describe_table().table_name(&table.name).send().await.unwrap().table.unwrap();
        let keys: Vec<_> =
            made.key_schema().iter().map(|key| (key.attribute_name(), key.key_type().as_str())).collect();
        assert_eq!(keys, [(table.partition_key, "HASH"), (table.sort_key, "RANGE")]);
        let billing = made.billing_mode_summary.unwrap().billing_mode.unwrap();
        assert_eq!(billing.as_str(), table.billing_mode);
        assert!(made.global_secondary_indexes.unwrap_or_default().is_empty());
        let expiry = client.describe_time_to_live().table_name(&table.name).send().await.unwrap();
        let expiry = expiry.time_to_live_description.unwrap();
        assert_eq!(expiry.attribute_name.as_deref(), Some(table.expiry_attribute));
        let backups = client.describe_continuous_backups().table_name(&table.name).send().await.unwrap();
        let backups =
            backups.continuous_backups_description.unwrap().point_in_time_recovery_description.unwrap();
        let is_on = backups.point_in_time_recovery_status.unwrap().as_str() == "ENABLED";
        assert_eq!(is_on, table.point_in_time_recovery);
    }
}

#[tokio::test]
async fn the_bucket_is_the_manifests() {
    let account = Account::fresh().await;
    let manifest = Manifest::of(&account.settings);
    let client = aws_sdk_s3::Client::from_conf(client!(aws_sdk_s3, account).force_path_style(true).build());
    // Buckets have no region in moto, so other tests' are listed, too.
    let [bucket] = &manifest.buckets[..] else { panic!("{:?}", manifest.buckets) };
    // moto wraps this answer in an element that is not AWS's, which the SDK refuses.
    let url = format!("{}/{}?versioning", account.settings.endpoints.default.as_ref().unwrap(), bucket.name);
    let versions = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert_eq!(versions.contains("<Status>Enabled</Status>"), bucket.versioned, "{versions}");
    let access = client.get_public_access_block().bucket(&bucket.name).send().await.unwrap();
    let access = access.public_access_block_configuration.unwrap();
    let closed = [
        access.block_public_acls,
        access.block_public_policy,
        access.ignore_public_acls,
        access.restrict_public_buckets,
    ];
    assert_eq!(closed, [Some(bucket.public_access_blocked); 4]);
    let sealed = client.get_bucket_encryption().bucket(&bucket.name).send().await.unwrap();
    let rule = &sealed.server_side_encryption_configuration.unwrap().rules[0];
    let default = rule.apply_server_side_encryption_by_default.as_ref().unwrap();
    assert_eq!(default.sse_algorithm.as_str(), bucket.encryption);
    let rules = client.get_bucket_lifecycle_configuration().bucket(&bucket.name).send().await.unwrap();
    let days = rules.rules()[0].abort_incomplete_multipart_upload().unwrap().days_after_initiation();
    assert_eq!(days, Some(bucket.unfinished_uploads_days));
}

#[tokio::test]
async fn queues_and_topics_are_the_manifests() {
    let account = Account::fresh().await;
    let manifest = Manifest::of(&account.settings);
    let client = aws_sdk_sqs::Client::from_conf(client!(aws_sdk_sqs, account).build());
    let urls = client.list_queues().send().await.unwrap().queue_urls.unwrap();
    let names = urls.iter().map(|url| url.rsplit('/').next().unwrap().to_owned());
    assert_same(names, manifest.queues.iter().map(|queue| &queue.name));
    for queue in &manifest.queues {
        let url = urls.iter().find(|url| url.ends_with(&format!("/{}", queue.name))).unwrap();
        let request = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = request.send().await.unwrap().attributes.unwrap();
        let attribute = |name: QueueAttributeName| attributes.get(&name).map(String::as_str);
        assert_eq!(attribute(QueueAttributeName::FifoQueue), Some("true").filter(|_| queue.fifo));
        let retention = queue.retention_seconds.to_string();
        assert_eq!(attribute(QueueAttributeName::MessageRetentionPeriod), Some(retention.as_str()));
        let redrive = attribute(QueueAttributeName::RedrivePolicy).map(|text| {
            let policy: Value = serde_json::from_str(text).unwrap();
            let target =
                policy["deadLetterTargetArn"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
            (target, policy["maxReceiveCount"].as_u64().unwrap())
        });
        let wanted = queue.dead_letters.as_ref();
        assert_eq!(redrive, wanted.map(|dead| (dead.queue.clone(), u64::from(dead.deliveries_max))));
    }
    let client = aws_sdk_sns::Client::from_conf(client!(aws_sdk_sns, account).build());
    let topics = client.list_topics().send().await.unwrap().topics.unwrap();
    assert_same(
        topics.into_iter().filter_map(|topic| topic.topic_arn),
        manifest.topics.iter().map(|topic| &topic.arn),
    );
    for topic in &manifest.topics {
        let made =
            client.get_topic_attributes().topic_arn(&topic.arn).send().await.unwrap().attributes.unwrap();
        assert_eq!(made["FifoTopic"], topic.fifo.to_string());
    }
}

#[tokio::test]
async fn the_user_pool_is_the_manifests_and_is_made_once() {
    let account = Account::fresh().await;
    let manifest = Manifest::of(&account.settings);
    let cloud = account.open().await;
    let ids = init_user_pool(&cloud).await.unwrap().unwrap();
    assert_eq!(init_user_pool(&cloud).await.unwrap().unwrap(), ids);
    let config = client!(aws_sdk_cognitoidentityprovider, account).build();
    let client = aws_sdk_cognitoidentityprovider::Client::from_conf(config);
    let pools = client.list_user_pools().max_results(60).send().await.unwrap().user_pools.unwrap();
    assert_same(
        pools.into_iter().filter_map(|pool| pool.name),
        manifest.user_pools.iter().map(|pool| &pool.name),
    );
    let [pool] = &manifest.user_pools[..] else { panic!("{:?}", manifest.user_pools) };
    let made =
        client.describe_user_pool().user_pool_id(&ids.user_pool_id).send().await.unwrap().user_pool.unwrap();
    let names: Vec<_> = made.username_attributes().iter().map(UsernameAttributeType::as_str).collect();
    assert_eq!(names, pool.username_attributes);
    let names: Vec<_> = made.auto_verified_attributes().iter().map(VerifiedAttributeType::as_str).collect();
    assert_eq!(names, pool.auto_verified_attributes);
    assert_eq!(made.mfa_configuration.as_ref().unwrap().as_str(), pool.mfa_configuration);
    let policy = made.policies().unwrap().password_policy().unwrap();
    assert_eq!(policy.minimum_length(), Some(pool.password_characters_min));
    let groups = client.list_groups().user_pool_id(&ids.user_pool_id).send().await.unwrap().groups.unwrap();
    assert_same(groups.into_iter().filter_map(|group| group.group_name), &pool.groups);
    let request =
        client.describe_user_pool_client().user_pool_id(&ids.user_pool_id).client_id(&ids.client_id);
    let app = request.send().await.unwrap().user_pool_client.unwrap();
    assert_eq!(app.client_name.as_deref(), Some(pool.client.name.as_str()));
    assert_eq!(app.client_secret.is_some(), pool.client.generate_secret);
    assert_eq!(app.enable_token_revocation, Some(pool.client.enable_token_revocation));
    assert_eq!(app.auth_session_validity, Some(pool.client.auth_session_validity_minutes));
    let flows: Vec<_> = app.explicit_auth_flows().iter().map(ExplicitAuthFlowsType::as_str).collect();
    assert_eq!(flows, pool.client.explicit_auth_flows);
    let hidden = app.prevent_user_existence_errors.as_ref().unwrap().as_str();
    assert_eq!(hidden, pool.client.prevent_user_existence_errors);
}

#[tokio::test]
async fn making_all_twice_makes_nothing_more() {
    let account = Account::fresh().await;
    init(&account.open().await).await.unwrap();
    let client = aws_sdk_sqs::Client::from_conf(client!(aws_sdk_sqs, account).build());
    let urls = client.list_queues().send().await.unwrap().queue_urls.unwrap();
    assert_eq!(urls.len(), Manifest::of(&account.settings).queues.len());
}

#[test]
fn policies_name_the_resources_of_the_manifest_and_nothing_wider() {
    let mut given = settings(&Moto::start().unwrap());
    (given.table, given.bucket) = ("records".to_owned(), "objects".to_owned());
    given.kms_key_id = Some("1234".to_owned());
    let of = |given: &adapters_aws::AwsSettings| serde_json::to_value(Manifest::of(given)).unwrap();
    let manifest = of(&given);
    let statement = |manifest: &Value, role: &str, sid: &str| -> Option<Value> {
        let roles = manifest["roles"].as_array().unwrap();
        let role = roles.iter().find(|named| named["name"] == role).unwrap();
        assert_eq!(role["policy"]["Version"], "2012-10-17");
        let statements = role["policy"]["Statement"].as_array().unwrap();
        statements.iter().find(|statement| statement["Sid"] == sid).cloned()
    };
    let region = &given.region;
    assert_eq!(
        statement(&manifest, "service", "Table").unwrap(),
        json!({
            "Sid": "Table",
            "Effect": "Allow",
            "Action": [
                "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:DeleteItem",
                "dynamodb:ConditionCheckItem",
            ],
            "Resource": [format!("arn:aws:dynamodb:{region}:123456789012:table/records")],
        })
    );
    let key = statement(&manifest, "service", "Key").unwrap();
    assert_eq!(key["Resource"], json!([format!("arn:aws:kms:{region}:123456789012:key/1234")]));
    let objects = statement(&manifest, "service", "Objects").unwrap();
    assert_eq!(objects["Resource"], json!(["arn:aws:s3:::objects/*"]));
    // Only the service that keeps the secrets is named.
    assert!(statement(&manifest, "service", "Parameters").is_none());
    given.secret_service = SecretService::Ssm;
    let manifest = of(&given);
    assert!(statement(&manifest, "service", "Secrets").is_none());
    let parameters = statement(&manifest, "service", "Parameters").unwrap();
    let prefix = &given.secret_prefix;
    assert_eq!(
        parameters["Resource"],
        json!([format!("arn:aws:ssm:{region}:123456789012:parameter/{prefix}*")])
    );
    // Who serves makes no table and deletes no bucket.
    for role in manifest["roles"].as_array().unwrap() {
        let text = role["policy"].to_string();
        assert!(
            !text.contains(":*\"") && !text.contains("DeleteTable") && !text.contains("DeleteBucket"),
            "{text}"
        );
        assert_eq!(text.contains("CreateTable"), role["name"] == "setup");
    }
}
