//! The user pool of the accounts, and its app client.

use aws_sdk_cognitoidentityprovider::{
    Client,
    error::SdkError,
    operation::create_group::CreateGroupError,
    types::{
        ExplicitAuthFlowsType, PasswordPolicyType, PreventUserExistenceErrorTypes, UserPoolMfaType,
        UserPoolPolicyType, UsernameAttributeType, VerifiedAttributeType,
    },
};
use ports::{Error, ErrorKind, Result};

use super::manifest::UserPool;
use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.pool";

/// What a pool is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolIds {
    /// The pool.
    pub user_pool_id: String,
    /// Its app client.
    pub client_id: String,
}

/// Makes the pool, or finds the one of that name. One that is there is not changed, nor is its client.
pub(super) async fn init(cloud: &AwsCloud, pool: &UserPool) -> Result<PoolIds> {
    let client = cloud.cognito();
    let user_pool_id = match found(&client, &pool.name).await? {
        Some(id) => id,
        None => create(&client, pool).await?,
    };
    for group in &pool.groups {
        match client.create_group().user_pool_id(&user_pool_id).group_name(group).send().await {
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), CreateGroupError::GroupExistsException(_)) => {}
            made => drop(made.map_err(|error| of_read(OPERATION, &error))?),
        }
    }
    let client_id = match found_client(&client, &user_pool_id, &pool.client.name).await? {
        Some(id) => id,
        None => create_client(&client, &user_pool_id, pool).await?,
    };
    Ok(PoolIds { user_pool_id, client_id })
}

async fn found(client: &Client, name: &str) -> Result<Option<String>> {
    let mut pages = client.list_user_pools().max_results(60).into_paginator().items().send();
    while let Some(pool) = pages.next().await {
        let pool = pool.map_err(|error| of_read(OPERATION, &error))?;
        if pool.name() == Some(name) {
            return Ok(pool.id);
        }
    }
    Ok(None)
}

async fn create(client: &Client, pool: &UserPool) -> Result<String> {
    let policy = PasswordPolicyType::builder().minimum_length(pool.password_characters_min);
    let policy = UserPoolPolicyType::builder().password_policy(policy.build()).build();
    let sign_in = pool.username_attributes.iter().map(|name| UsernameAttributeType::from(*name));
    let confirmed = pool.auto_verified_attributes.iter().map(|name| VerifiedAttributeType::from(*name));
    let request = client
        .create_user_pool()
        .pool_name(&pool.name)
        .policies(policy)
        .mfa_configuration(UserPoolMfaType::from(pool.mfa_configuration))
        .set_username_attributes(Some(sign_in.collect()))
        .set_auto_verified_attributes(Some(confirmed.collect()));
    let made = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    made.user_pool.and_then(|pool| pool.id).ok_or_else(|| nameless("a user pool"))
}

async fn found_client(client: &Client, pool: &str, name: &str) -> Result<Option<String>> {
    let request = client.list_user_pool_clients().user_pool_id(pool).max_results(60);
    let mut pages = request.into_paginator().items().send();
    while let Some(found) = pages.next().await {
        let found = found.map_err(|error| of_read(OPERATION, &error))?;
        if found.client_name() == Some(name) {
            return Ok(found.client_id);
        }
    }
    Ok(None)
}

async fn create_client(client: &Client, pool_id: &str, pool: &UserPool) -> Result<String> {
    let settings = &pool.client;
    let flows = settings.explicit_auth_flows.iter().map(|flow| ExplicitAuthFlowsType::from(*flow));
    let hidden = PreventUserExistenceErrorTypes::from(settings.prevent_user_existence_errors);
    let request = client
        .create_user_pool_client()
        .user_pool_id(pool_id)
        .client_name(&settings.name)
        .generate_secret(settings.generate_secret)
        .enable_token_revocation(settings.enable_token_revocation)
        .prevent_user_existence_errors(hidden)
        .set_explicit_auth_flows(Some(flows.collect()))
        .auth_session_validity(settings.auth_session_validity_minutes);
    let made = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    made.user_pool_client.and_then(|client| client.client_id).ok_or_else(|| nameless("an app client"))
}

fn nameless(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, OPERATION).with_cause(format!("{what} without an id"))
}
