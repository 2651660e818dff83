//! The rules of accounts.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use jiff::SignedDuration;
use ports::{
    ChallengeKind, Denial, Email, Error, ErrorKind, IdentityProvider, NewUser, Outcome, PasswordFault,
    Profile, ProfileUpdate, Result, Role, Sessions as _, SignIn, SignInContext, Tokens,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CognitoIdentity,
    attributes::{EMAIL, NAME, attribute},
    authenticate::Step,
    challenge::Challenge,
    fault::{About, denied, is, writing},
    multi_factor::is_code,
    roles,
};
use crate::error::Attempts;

const PASSWORD_CHARACTERS_MIN: usize = 8;
/// The pool counts characters; of this many bytes there are never more.
const PASSWORD_BYTES_MAX: usize = 256;
/// Longer than any access token of a pool lives.
const BARRED_FOR: SignedDuration = SignedDuration::from_hours(48);
const CODE_LENGTH_MAX: usize = 2048;

#[async_trait]
impl IdentityProvider for CognitoIdentity {
    async fn sign_up(&self, user: NewUser) -> Result<Profile> {
        const OPERATION: &str = "identity.sign_up";
        check_password(&user.password, &user.email, OPERATION)?;
        let attempts = Attempts::default();
        let username = user.email.expose();
        let attributes =
            [attribute(EMAIL, username), user.display_name.as_ref().and_then(|name| attribute(NAME, name))];
        let call = self.client.sign_up().client_id(&self.settings.client_id).username(username);
        let call = call
            .password(user.password.expose_secret())
            .set_user_attributes(Some(attributes.into_iter().flatten().collect()))
            .set_secret_hash(self.secret_hash(username));
        let made = call.customize().interceptor(attempts.clone()).send().await;
        let made = made.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        let applied = |error: Error| error.with_outcome(Outcome::Applied);
        let account = self.account(&made.user_sub, OPERATION).await.map_err(applied)?;
        let gone = || applied(Error::new(ErrorKind::Unavailable, OPERATION));
        Ok(account.ok_or_else(gone)?.profile)
    }

    async fn confirm(&self, email: &Email, code: &str) -> Result<()> {
        const OPERATION: &str = "identity.confirm";
        if !can_be_code(code) {
            return Err(denied(OPERATION, Denial::WrongCode));
        }
        let attempts = Attempts::default();
        let username = email.expose();
        let call = self.client.confirm_sign_up().client_id(&self.settings.client_id).username(username);
        let call = call.confirmation_code(code).set_secret_hash(self.secret_hash(username));
        let outcome = call.customize().interceptor(attempts.clone()).send().await;
        outcome.map(drop).map_err(|error| writing(OPERATION, About::Code, &attempts, &error))
    }

    async fn resend(&self, email: &Email) -> Result<()> {
        let username = email.expose();
        let call = self.client.resend_confirmation_code().client_id(&self.settings.client_id);
        let call = call.username(username).set_secret_hash(self.secret_hash(username));
        let attempts = Attempts::default();
        match call.customize().interceptor(attempts.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => mailed(writing("identity.resend", About::Code, &attempts, &error)),
        }
    }

    async fn sign_in(&self, email: &Email, password: &SecretString, from: &SignInContext) -> Result<SignIn> {
        const OPERATION: &str = "identity.sign_in";
        let now = self.clock.now();
        let step = self.authenticate(email, password, now, OPERATION).await?;
        self.advance(step, from, now, OPERATION).await
    }

    async fn respond(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn> {
        const OPERATION: &str = "identity.respond";
        let asked = Challenge::open(session, &self.sealer, self.clock.now());
        let asked = asked.ok_or_else(|| denied(OPERATION, Denial::InvalidToken))?;
        if !asked.is_of(kind) {
            return Err(
                Error::new(ErrorKind::InvalidInput, OPERATION).with_cause("another answer is asked for")
            );
        }
        match kind {
            ChallengeKind::NewPasswordRequired => check_length(answer, OPERATION)?,
            ChallengeKind::SoftwareTokenMfa | ChallengeKind::SmsMfa if !is_code(answer) => {
                return Err(denied(OPERATION, Denial::WrongCode));
            }
            ChallengeKind::SoftwareTokenMfa | ChallengeKind::SmsMfa => {}
        }
        let step = self.answer_challenge(&asked, kind, answer, OPERATION).await?;
        self.advance(step, from, asked.begun_at, OPERATION).await
    }

    async fn refresh(&self, refresh_token: &SecretString, attempt: Option<&str>) -> Result<Tokens> {
        self.go_on(refresh_token, attempt, "identity.refresh").await
    }

    async fn sign_out(&self, user_id: UserId, session_id: SessionId) -> Result<()> {
        match self.sessions.session(user_id, session_id).await? {
            Some(session) => self.end((user_id, session_id), &session.body).await,
            None => Ok(()),
        }
    }

    async fn forgot(&self, email: &Email) -> Result<()> {
        let username = email.expose();
        let call = self.client.forgot_password().client_id(&self.settings.client_id).username(username);
        let call = call.set_secret_hash(self.secret_hash(username));
        let attempts = Attempts::default();
        match call.customize().interceptor(attempts.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => mailed(writing("identity.forgot", About::Code, &attempts, &error)),
        }
    }

    async fn reset(&self, email: &Email, code: &str, new_password: &SecretString) -> Result<()> {
        const OPERATION: &str = "identity.reset";
        check_password(new_password, email, OPERATION)?;
        if !can_be_code(code) {
            return Err(denied(OPERATION, Denial::WrongCode));
        }
        let attempts = Attempts::default();
        let username = email.expose();
        let call = self.client.confirm_forgot_password().client_id(&self.settings.client_id);
        let call = call
            .username(username)
            .confirmation_code(code)
            .password(new_password.expose_secret())
            .set_secret_hash(self.secret_hash(username));
        let outcome = call.customize().interceptor(attempts.clone()).send().await;
        outcome.map_err(|error| writing(OPERATION, About::Code, &attempts, &error))?;
        let applied = |error: Error| error.with_outcome(Outcome::Applied);
        match self.account(username, OPERATION).await.map_err(applied)? {
            Some(account) => self.end_all(account.profile.user_id, None).await.map_err(applied),
            None => Ok(()),
        }
    }

    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>> {
        let account = self.account(&user_id.to_string(), "identity.profile").await?;
        Ok(account.map(|account| account.profile))
    }

    async fn find(&self, email: &Email) -> Result<Option<Profile>> {
        let account = self.account(email.expose(), "identity.find").await?;
        Ok(account.map(|account| account.profile).filter(|profile| profile.email == *email))
    }

    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile> {
        const OPERATION: &str = "identity.update";
        let before = self.profile(user_id).await?;
        let before = before.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION))?;
        if update.expected_version.is_some_and(|version| version != before.version) {
            return Err(Error::new(ErrorKind::Conflict, OPERATION));
        }
        let email = update.email.filter(|email| *email != before.email);
        if let Some(email) = &email
            && self.find(email).await?.is_some()
        {
            return Err(Error::new(ErrorKind::Conflict, OPERATION));
        }
        let email = email.and_then(|email| attribute(EMAIL, email.expose()));
        let name = update.display_name.as_ref();
        let given = name.and_then(Option::as_ref).and_then(|name| attribute(NAME, name));
        let changed: Vec<_> = [email, given].into_iter().flatten().collect();
        let is_nameless = name.is_some_and(Option::is_none) && before.display_name.is_some();
        if changed.is_empty() && !is_nameless {
            return Ok(before);
        }
        let attempts = Attempts::default();
        let (pool, username) = (&self.settings.user_pool_id, user_id.to_string());
        if !changed.is_empty() {
            let call = self.client.admin_update_user_attributes().user_pool_id(pool).username(&username);
            let call = call.set_user_attributes(Some(changed)).customize();
            let outcome = call.interceptor(attempts.clone()).send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        }
        if is_nameless {
            let call = self.client.admin_delete_user_attributes().user_pool_id(pool).username(&username);
            let call = call.user_attribute_names(NAME).customize();
            let outcome = call.interceptor(attempts.clone()).send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        }
        let after = self.profile(user_id).await.map_err(|error| error.with_outcome(Outcome::Applied))?;
        after.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION))
    }

    async fn set_disabled(&self, user_id: UserId, disabled: bool) -> Result<()> {
        const OPERATION: &str = "identity.set_disabled";
        let attempts = Attempts::default();
        let (pool, username) = (&self.settings.user_pool_id, user_id.to_string());
        // Cognito first: it knows whether there is such a user. Where the mark fails, the caller asks again.
        if disabled {
            let call = self.client.admin_disable_user().user_pool_id(pool).username(username).customize();
            let outcome = call.interceptor(attempts.clone()).send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        } else {
            let call = self.client.admin_enable_user().user_pool_id(pool).username(username).customize();
            let outcome = call.interceptor(attempts.clone()).send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        }
        let marked = self.sessions.change_standing(user_id, |standing| standing.barred = disabled).await;
        marked.map_err(|error| error.with_outcome(Outcome::Applied))
    }

    async fn set_roles(&self, user_id: UserId, roles: BTreeSet<Role>) -> Result<()> {
        const OPERATION: &str = "identity.set_roles";
        let wanted = roles::to_groups(&self.settings.groups, &roles, OPERATION)?;
        let username = user_id.to_string();
        let groups = self.groups(&username, OPERATION).await?;
        let groups: BTreeSet<String> =
            groups.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION))?.into_iter().collect();
        let attempts = Attempts::default();
        let pool = &self.settings.user_pool_id;
        let ours = [&self.settings.groups.clinician, &self.settings.groups.operator];
        // Less before more: whatever fails in between, nobody may do both what they could and what they will.
        for group in ours.into_iter().filter(|group| groups.contains(*group) && !wanted.contains(*group)) {
            let call = self.client.admin_remove_user_from_group().user_pool_id(pool).username(&username);
            let call = call.group_name(group).customize().interceptor(attempts.clone());
            let outcome = call.send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        }
        for group in wanted.difference(&groups) {
            let call = self.client.admin_add_user_to_group().user_pool_id(pool).username(&username);
            let call = call.group_name(group).customize().interceptor(attempts.clone());
            let outcome = call.send().await;
            outcome.map_err(|error| writing(OPERATION, About::Account, &attempts, &error))?;
        }
        self.end_all(user_id, None).await.map_err(|error| error.with_outcome(Outcome::Applied))
    }

    async fn delete(&self, user_id: UserId) -> Result<()> {
        const OPERATION: &str = "identity.delete";
        let attempts = Attempts::default();
        let call = self.client.admin_delete_user().user_pool_id(&self.settings.user_pool_id);
        let call = call.username(user_id.to_string()).customize().interceptor(attempts.clone());
        match call.send().await {
            Err(error) if !is(&error, "UserNotFoundException") => {
                return Err(writing(OPERATION, About::Account, &attempts, &error));
            }
            _ => {}
        }
        // Also where there was no such user: an earlier attempt may have come no further.
        let applied = |error: Error| error.with_outcome(Outcome::Applied);
        let now = self.clock.now();
        self.sessions.end_all(user_id, None, now).await.map_err(applied)?;
        // A sign-in that was on its way must not outlive them.
        let until = now.saturating_add(BARRED_FOR).unwrap_or(jiff::Timestamp::MAX);
        let bar =
            self.sessions.change_standing_until(user_id, Some(until), |standing| standing.barred = true);
        bar.await.map_err(applied)
    }
}

impl CognitoIdentity {
    /// From what the pool answered to what whoever signs in gets.
    async fn advance(
        &self,
        step: Step,
        from: &SignInContext,
        begun_at: jiff::Timestamp,
        operation: &'static str,
    ) -> Result<SignIn> {
        match step {
            Step::Tokens(result) => Ok(SignIn::Tokens(self.begin(result, from, begun_at, operation).await?)),
            Step::Asked(challenge, kind) => {
                Ok(SignIn::Challenge { kind, session: challenge.seal(&self.sealer)? })
            }
        }
    }
}

/// Whether a code was mailed is nobody's business: only a service that is away is an error. A limit is one of an account,
/// and so would tell that there is one.
fn mailed(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Unexpected | ErrorKind::NotFound | ErrorKind::Corrupt => {
            Err(error)
        }
        ErrorKind::PermissionDenied
        | ErrorKind::InvalidInput
        | ErrorKind::RateLimited
        | ErrorKind::Conflict => Ok(()),
    }
}

fn check_password(password: &SecretString, email: &Email, operation: &'static str) -> Result<()> {
    check_length(password, operation)?;
    if password.expose_secret().trim().to_lowercase() == email.expose() {
        return Err(Error::new(ErrorKind::InvalidInput, operation).with_cause(PasswordFault::IsEmail));
    }
    Ok(())
}

fn check_length(password: &SecretString, operation: &'static str) -> Result<()> {
    let password = password.expose_secret();
    let fault = if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        PasswordFault::TooShort { characters_min: PASSWORD_CHARACTERS_MIN }
    } else if password.len() > PASSWORD_BYTES_MAX {
        PasswordFault::TooLong { bytes_max: PASSWORD_BYTES_MAX }
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, operation).with_cause(fault))
}

/// What the pool would not even compare.
fn can_be_code(code: &str) -> bool {
    (1..=CODE_LENGTH_MAX).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic())
}
