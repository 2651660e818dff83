//! The table of the records.

use aws_sdk_dynamodb::{
    Client,
    client::Waiters as _,
    error::SdkError,
    operation::create_table::{CreateTableError, builders::CreateTableFluentBuilder},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
        ScalarAttributeType, SseSpecification, SseType, TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use aws_smithy_types::error::operation::BuildError;
use ports::{Error, ErrorKind, Result};

use super::manifest::Table;
use crate::{
    AwsCloud,
    error::{Attempts, of_read, of_write},
};

const OPERATION: &str = "aws.init.table";

/// How long AWS may take to make a table.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

pub(super) async fn init(cloud: &AwsCloud, table: &Table) -> Result<()> {
    let client = cloud.dynamodb();
    let request = create(&client, table).map_err(broken)?;
    let attempts = Attempts::default();
    match request.customize().interceptor(attempts.clone()).send().await {
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), CreateTableError::ResourceInUseException(_)) => {}
        made => drop(made.map_err(|error| of_write(OPERATION, &attempts, &error))?),
    }
    let waited = client.wait_until_table_exists().table_name(&table.name).wait(PATIENCE).await;
    waited.map_err(|error| Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error.to_string()))?;
    expire(&client, table).await?;
    back_up(&client, table).await
}

/// Two keys, no index, paid by the request.
fn create(client: &Client, table: &Table) -> Result<CreateTableFluentBuilder, BuildError> {
    let mut request = client
        .create_table()
        .table_name(&table.name)
        .billing_mode(BillingMode::from(table.billing_mode))
        .deletion_protection_enabled(false);
    for (name, role) in [(table.partition_key, KeyType::Hash), (table.sort_key, KeyType::Range)] {
        let text = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        request = request.attribute_definitions(text.build()?);
        request =
            request.key_schema(KeySchemaElement::builder().attribute_name(name).key_type(role).build()?);
    }
    if let Some(key) = &table.kms_key_id {
        let sealed = SseSpecification::builder().enabled(true).sse_type(SseType::Kms).kms_master_key_id(key);
        request = request.sse_specification(sealed.build());
    }
    Ok(request)
}

/// Lets DynamoDB remove what has expired. Saying so twice is an error on its side, so it is asked first.
async fn expire(client: &Client, table: &Table) -> Result<()> {
    let state = client.describe_time_to_live().table_name(&table.name).send().await;
    let state = state.map_err(|error| of_read(OPERATION, &error))?.time_to_live_description;
    let is_on = state
        .and_then(|state| state.time_to_live_status)
        .is_some_and(|status| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    if is_on {
        return Ok(());
    }
    let wanted = TimeToLiveSpecification::builder().enabled(true).attribute_name(table.expiry_attribute);
    let request = client.update_time_to_live().table_name(&table.name);
    let request = request.time_to_live_specification(wanted.build().map_err(broken)?);
    request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

/// Point-in-time recovery, for as long as AWS has it: 35 days.
async fn back_up(client: &Client, table: &Table) -> Result<()> {
    let wanted = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(table.point_in_time_recovery);
    let request = client.update_continuous_backups().table_name(&table.name);
    let request = request.point_in_time_recovery_specification(wanted.build().map_err(broken)?);
    request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

fn broken(error: BuildError) -> Error {
    Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error)
}
