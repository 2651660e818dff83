//! Proving a password or an answer to Cognito, and what it gives for that.

use std::collections::HashMap;

use aws_sdk_cognitoidentityprovider::types::{AuthFlowType, AuthenticationResultType, ChallengeNameType};
use jiff::Timestamp;
use ports::{ChallengeKind, Denial, Email, Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CognitoIdentity, SignInFlow, challenge,
    challenge::Challenge,
    fault::{About, denied, is, reading, writing},
    random, srp,
};
use crate::error::Attempts;

/// Longer passwords than this the pool does not take.
const PASSWORD_CHARACTERS_MAX: usize = 256;

/// What the pool answered.
pub(super) enum Step {
    Tokens(AuthenticationResultType),
    Asked(Challenge, ChallengeKind),
}

/// Tokens that were refreshed.
pub(super) struct Renewed {
    pub(super) access_token: String,
    pub(super) expires_in_seconds: u64,
    /// A new refresh token, where the pool rotates them.
    pub(super) refresh_token: Option<SecretString>,
}

/// An answer of the pool to either of the calls that sign in.
struct Answer {
    name: Option<ChallengeNameType>,
    parameters: HashMap<String, String>,
    session: Option<String>,
    result: Option<AuthenticationResultType>,
}

impl CognitoIdentity {
    /// Gives the password.
    pub(super) async fn authenticate(
        &self,
        email: &Email,
        password: &SecretString,
        now: Timestamp,
        operation: &'static str,
    ) -> Result<Step> {
        let characters = password.expose_secret().chars().count();
        if characters == 0 || characters > PASSWORD_CHARACTERS_MAX {
            // No account has such a one, and the pool would say so in another way.
            return Err(denied(operation, Denial::WrongCredentials));
        }
        let username = email.expose();
        let answer = match self.settings.sign_in_flow {
            SignInFlow::Password => {
                let parameters = [("USERNAME", username), ("PASSWORD", password.expose_secret())];
                self.initiate(AuthFlowType::UserPasswordAuth, &parameters, username, operation).await?
            }
            SignInFlow::Srp => self.prove(username, password, operation).await?,
        };
        step(answer, username, now, operation)
    }

    /// Gives a proof of the password.
    async fn prove(
        &self,
        username: &str,
        password: &SecretString,
        operation: &'static str,
    ) -> Result<Answer> {
        let client = srp::Client::new(&random()?);
        let public = client.public_hex();
        let parameters = [("USERNAME", username), ("SRP_A", public.as_str())];
        let asked = self.initiate(AuthFlowType::UserSrpAuth, &parameters, username, operation).await?;
        if asked.name != Some(ChallengeNameType::PasswordVerifier) {
            return Ok(asked);
        }
        let parameter = |name: &str| asked.parameters.get(name).map(String::as_str);
        let fields = (|| {
            Some(srp::Asked {
                user_id: parameter("USER_ID_FOR_SRP")?,
                salt_hex: parameter("SALT")?,
                public_hex: parameter("SRP_B")?,
                secret_block: parameter("SECRET_BLOCK")?,
            })
        })();
        let proof = fields.and_then(|fields| {
            let user_id = fields.user_id.to_owned();
            let proof = client.prove(&self.settings.user_pool_id, &fields, password, self.clock.now())?;
            Some((user_id, fields.secret_block.to_owned(), proof))
        });
        let (user_id, block, proof) = proof.ok_or_else(|| strange(operation))?;
        let responses = [
            ("USERNAME", user_id.as_str()),
            ("PASSWORD_CLAIM_SECRET_BLOCK", &block),
            ("PASSWORD_CLAIM_SIGNATURE", &proof.signature),
            ("TIMESTAMP", &proof.timestamp),
        ];
        let name = ChallengeNameType::PasswordVerifier;
        self.answer((name, asked.session.as_deref()), &responses, About::Credentials, operation).await
    }

    /// Answers a challenge.
    pub(super) async fn answer_challenge(
        &self,
        asked: &Challenge,
        kind: ChallengeKind,
        answer: &SecretString,
        operation: &'static str,
    ) -> Result<Step> {
        let responses =
            [("USERNAME", asked.username.as_str()), (challenge::answer_name(kind), answer.expose_secret())];
        let name = ChallengeNameType::from(challenge::name(kind));
        let session = Some(asked.session.as_str());
        let answer = self.answer((name, session), &responses, About::Token, operation).await?;
        step(answer, &asked.username, asked.begun_at, operation)
    }

    /// Trades Cognito's refresh token of the user with the `sub`.
    pub(super) async fn renew(
        &self,
        refresh_token: &str,
        subject: &str,
        operation: &'static str,
    ) -> Result<Renewed> {
        let result = if self.settings.is_rotating {
            let secret = self.settings.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
            let call = self.client.get_tokens_from_refresh_token().client_id(&self.settings.client_id);
            let answer = call.set_client_secret(secret).refresh_token(refresh_token).send().await;
            answer.map_err(|error| reading(operation, About::Token, &error))?.authentication_result
        } else {
            let mut call = self.client.initiate_auth().client_id(&self.settings.client_id);
            call = call.auth_flow(AuthFlowType::RefreshTokenAuth);
            call = call.auth_parameters("REFRESH_TOKEN", refresh_token);
            if let Some(hash) = self.secret_hash(subject) {
                call = call.auth_parameters("SECRET_HASH", hash);
            }
            let answer = call.send().await;
            answer.map_err(|error| reading(operation, About::Token, &error))?.authentication_result
        };
        let result = result.ok_or_else(|| strange(operation))?;
        Ok(Renewed {
            expires_in_seconds: lifetime(&result),
            refresh_token: result.refresh_token.map(SecretString::from),
            access_token: result.access_token.ok_or_else(|| strange(operation))?,
        })
    }

    /// Makes Cognito forget a refresh token, and what came of it.
    pub(super) async fn revoke(&self, refresh_token: &str) -> Result<()> {
        const OPERATION: &str = "identity.revoke";
        let attempts = Attempts::default();
        let secret = self.settings.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let call = self.client.revoke_token().client_id(&self.settings.client_id).token(refresh_token);
        let call = call.set_client_secret(secret).customize().interceptor(attempts.clone());
        match call.send().await {
            Err(error) if is(&error, "NotAuthorizedException") => Ok(()),
            outcome => outcome.map(drop).map_err(|error| writing(OPERATION, About::Token, &attempts, &error)),
        }
    }

    async fn initiate(
        &self,
        flow: AuthFlowType,
        parameters: &[(&str, &str)],
        username: &str,
        operation: &'static str,
    ) -> Result<Answer> {
        let mut call = self.client.initiate_auth().client_id(&self.settings.client_id).auth_flow(flow);
        for (name, value) in parameters {
            call = call.auth_parameters(*name, *value);
        }
        if let Some(hash) = self.secret_hash(username) {
            call = call.auth_parameters("SECRET_HASH", hash);
        }
        let answer = call.send().await;
        let answer = answer.map_err(|error| reading(operation, About::Credentials, &error))?;
        Ok(Answer {
            name: answer.challenge_name,
            parameters: answer.challenge_parameters.unwrap_or_default(),
            session: answer.session,
            result: answer.authentication_result,
        })
    }

    /// The first of `responses` is the username.
    async fn answer(
        &self,
        (name, session): (ChallengeNameType, Option<&str>),
        responses: &[(&str, &str)],
        about: About,
        operation: &'static str,
    ) -> Result<Answer> {
        let attempts = Attempts::default();
        let mut call = self.client.respond_to_auth_challenge().client_id(&self.settings.client_id);
        call = call.challenge_name(name).set_session(session.map(str::to_owned));
        for (name, value) in responses {
            call = call.challenge_responses(*name, *value);
        }
        let username = responses.first().map(|(_, username)| *username).unwrap_or_default();
        if let Some(hash) = self.secret_hash(username) {
            call = call.challenge_responses("SECRET_HASH", hash);
        }
        let answer = call.customize().interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| writing(operation, about, &attempts, &error))?;
        Ok(Answer {
            name: answer.challenge_name,
            parameters: answer.challenge_parameters.unwrap_or_default(),
            session: answer.session,
            result: answer.authentication_result,
        })
    }
}

/// What an answer asks of whoever signs in.
fn step(answer: Answer, username: &str, begun_at: Timestamp, operation: &'static str) -> Result<Step> {
    if let Some(result) = answer.result {
        return Ok(Step::Tokens(result));
    }
    let name = answer.name.as_ref().map(ChallengeNameType::as_str).unwrap_or_default();
    let (Some(kind), Some(session)) = (challenge::kind(name), answer.session) else {
        let cause = format!("the pool asks for {name}, which this service has no answer to");
        return Err(Error::new(ErrorKind::Unexpected, operation).with_cause(cause));
    };
    // The pool may know the account by another name than the one it was asked for.
    let known_as = answer.parameters.get("USER_ID_FOR_SRP").map_or(username, String::as_str);
    Ok(Step::Asked(Challenge::new(kind, (known_as, &session), begun_at), kind))
}

/// Until the access token's end.
pub(super) fn lifetime(result: &AuthenticationResultType) -> u64 {
    u64::try_from(result.expires_in).unwrap_or_default()
}

fn strange(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, operation).with_cause("the pool's answer lacks what it should have")
}
