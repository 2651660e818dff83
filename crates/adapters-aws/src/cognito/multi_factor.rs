//! Second factors. Cognito sets them up only for who is signed in, so this needs a session of the user's; and it has no
//! recovery codes.

use async_trait::async_trait;
use aws_sdk_cognitoidentityprovider::types::{SoftwareTokenMfaSettingsType, VerifySoftwareTokenResponseType};
use domain::ids::UserId;
use ports::{Denial, Error, ErrorKind, MultiFactor, Result, TotpSecret};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CognitoIdentity,
    attributes::Account,
    fault::{About, denied, is, writing},
};
use crate::error::Attempts;

const ISSUER: &str = "Clarity";
const DIGITS: usize = 6;

#[async_trait]
impl MultiFactor for CognitoIdentity {
    async fn set_up(&self, user_id: UserId) -> Result<TotpSecret> {
        const OPERATION: &str = "multi_factor.set_up";
        let account = self.known(user_id, false, OPERATION).await?;
        let access_token = self.access_token(user_id, OPERATION).await?;
        let attempts = Attempts::default();
        let call = self.client.associate_software_token().access_token(access_token.expose_secret());
        let made = call.customize().interceptor(attempts.clone()).send().await;
        let made = made.map_err(|error| writing(OPERATION, About::Token, &attempts, &error))?;
        let secret = made.secret_code.ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, OPERATION).with_cause("a second factor without a secret")
        })?;
        let email = escaped(account.profile.email.expose());
        let uri = format!(
            "otpauth://totp/{ISSUER}:{email}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits={DIGITS}&period=30"
        );
        Ok(TotpSecret { secret: secret.into(), otpauth_uri: uri.into() })
    }

    async fn verify(&self, user_id: UserId, code: &SecretString) -> Result<Vec<SecretString>> {
        const OPERATION: &str = "multi_factor.verify";
        self.known(user_id, false, OPERATION).await?;
        self.check(user_id, code, true, OPERATION).await?;
        Ok(Vec::new())
    }

    async fn disable(&self, user_id: UserId, code: &SecretString) -> Result<()> {
        const OPERATION: &str = "multi_factor.disable";
        self.known(user_id, true, OPERATION).await?;
        self.check(user_id, code, false, OPERATION).await
    }

    async fn remove(&self, user_id: UserId) -> Result<()> {
        const OPERATION: &str = "multi_factor.remove";
        let account = self.account(&user_id.to_string(), OPERATION).await?;
        if !account.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION))?.has_software_token {
            return Ok(());
        }
        let attempts = Attempts::default();
        let setting = SoftwareTokenMfaSettingsType::builder().enabled(false).preferred_mfa(false).build();
        let call = self.client.admin_set_user_mfa_preference().user_pool_id(&self.settings.user_pool_id);
        let call = call.username(user_id.to_string()).software_token_mfa_settings(setting);
        let outcome = call.customize().interceptor(attempts.clone()).send().await;
        outcome.map(drop).map_err(|error| writing(OPERATION, About::Account, &attempts, &error))
    }

    async fn is_on(&self, user_id: UserId) -> Result<bool> {
        let account = self.account(&user_id.to_string(), "multi_factor.is_on").await?;
        Ok(account.is_some_and(|account| account.has_software_token))
    }
}

impl CognitoIdentity {
    /// The account, where its second factor is on or off as it must be.
    async fn known(&self, user_id: UserId, must_be_on: bool, operation: &'static str) -> Result<Account> {
        let account = self.account(&user_id.to_string(), operation).await?;
        let account = account.ok_or_else(|| Error::new(ErrorKind::NotFound, operation))?;
        match (account.has_software_token, must_be_on) {
            (true, false) => Err(Error::new(ErrorKind::Conflict, operation)),
            (false, true) => Err(Error::new(ErrorKind::NotFound, operation)),
            _ => Ok(account),
        }
    }

    /// Turns the second factor on or off, if the code is right.
    async fn check(
        &self,
        user_id: UserId,
        code: &SecretString,
        enabled: bool,
        operation: &'static str,
    ) -> Result<()> {
        let access_token = self.access_token(user_id, operation).await?;
        let wrong = || denied(operation, Denial::WrongCode);
        let is_code = is_code(code);
        // Also for what is no code: whether there is a secret decides first.
        let asked = if is_code { code.expose_secret() } else { "000000" };
        let attempts = Attempts::default();
        let call = self.client.verify_software_token().access_token(access_token.expose_secret());
        match call.user_code(asked).customize().interceptor(attempts.clone()).send().await {
            Ok(answer) if is_code && answer.status == Some(VerifySoftwareTokenResponseType::Success) => {}
            Ok(_) => return Err(wrong()),
            Err(error) if is(&error, "InvalidParameterException") => {
                return Err(Error::new(ErrorKind::NotFound, operation).with_cause("no secret was set up"));
            }
            Err(error) => return Err(writing(operation, About::Code, &attempts, &error)),
        }
        let setting = SoftwareTokenMfaSettingsType::builder().enabled(enabled).preferred_mfa(enabled).build();
        let call = self.client.set_user_mfa_preference().access_token(access_token.expose_secret());
        let call = call.software_token_mfa_settings(setting).customize().interceptor(attempts.clone());
        let outcome = call.send().await;
        outcome.map(drop).map_err(|error| writing(operation, About::Token, &attempts, &error))
    }
}

/// As in a path of a URI.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

pub(super) fn is_code(code: &SecretString) -> bool {
    let code = code.expose_secret();
    code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())
}
