//! The rules of accounts.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use ports::{
    ChallengeKind, Denial, Email, Error, ErrorKind, IdentityProvider, NewUser, Profile, ProfileUpdate,
    Result, Role, SignIn, Tokens,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    CodePurpose, LocalIdentity,
    codes::{self, Delivery, wrong_code},
    passwords::Passwords,
    random,
    revocations::Mark,
    rows::{
        Accounts, AddressKey, AddressOwner, Failures, Keep, RefreshToken, Session, User, address_key, after,
    },
};

/// Failures further apart than this are not in a row.
const FAILURES_KEPT: std::time::Duration = std::time::Duration::from_hours(24);

#[async_trait]
impl IdentityProvider for LocalIdentity {
    async fn sign_up(&self, new: NewUser) -> Result<Profile> {
        const OPERATION: &str = "identity.sign_up";
        if !self.settings.self_sign_up {
            return Err(Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause("sign-up is off"));
        }
        Passwords::check(&new.password, OPERATION)?;
        let address = address_key(&new.email);
        check_free(&mut self.read(OPERATION).await?, &address).await?;
        let password_hash = self.passwords.hash(&new.password).await?;

        let mut accounts = self.begin(OPERATION).await?;
        check_free(&mut accounts, &address).await?;
        if accounts.user(new.user_id).await?.is_some() {
            return Err(accounts.error(ErrorKind::Conflict));
        }
        let mut user = User {
            id: new.user_id,
            email: new.email,
            email_verified: false,
            password_hash,
            display_name: new.display_name,
            created_at: accounts.now(),
            disabled: false,
            mark_version: 0,
        };
        if self.tokens.revocations.version(user.id)?.is_some() {
            // The id was deleted a moment ago. Its old sessions are revoked one by one and stay so.
            self.mark(&mut user, accounts.now()).await?;
        }
        accounts.put_user(&user).await?;
        accounts.put(&address, &AddressOwner(user.id), Keep::default()).await?;
        let delivery = self.confirmation(&mut accounts, &address, &user).await?;
        accounts.commit().await?;
        self.deliver(delivery);
        Ok(profile(user))
    }

    async fn confirm(&self, email: &Email, code: &str) -> Result<()> {
        const OPERATION: &str = "identity.confirm";
        let address = address_key(email);
        let mut accounts = self.begin(OPERATION).await?;
        let is_right = codes::check(&mut accounts, &address, CodePurpose::ConfirmEmail, code).await?;
        let user = accounts.user_at(&address).await?.filter(|_| is_right);
        let Some(mut user) = user else {
            accounts.commit().await?;
            return Err(wrong_code(OPERATION));
        };
        user.email_verified = true;
        accounts.put_user(&user).await?;
        codes::spend(&mut accounts, &address, CodePurpose::ConfirmEmail).await?;
        accounts.commit().await
    }

    async fn resend(&self, email: &Email) -> Result<()> {
        self.mail_code(email, CodePurpose::ConfirmEmail, "identity.resend").await
    }

    async fn sign_in(&self, email: &Email, password: &SecretString) -> Result<SignIn> {
        const OPERATION: &str = "identity.sign_in";
        let address = address_key(email);
        let mut reading = self.read(OPERATION).await?;
        check_unlocked(&mut reading, &address).await?;
        let seen = reading.user_at(&address).await?.map(|user| user.password_hash);
        drop(reading);
        let is_right = self.passwords.matches(password, seen.as_deref()).await?;

        let mut accounts = self.begin(OPERATION).await?;
        // Again, and before anything depends on the password: of many guesses at a time only the first few are answered.
        check_unlocked(&mut accounts, &address).await?;
        let user = accounts.user_at(&address).await?;
        let user = user.filter(|user| is_right && Some(&user.password_hash) == seen.as_ref());
        let Some(user) = user else {
            self.count_failure(&mut accounts, &address).await?;
            accounts.commit().await?;
            return Err(denied(OPERATION, Denial::WrongCredentials));
        };
        accounts.delete::<Failures>(&address).await?;
        let denial = match &user {
            user if user.disabled => Some(Denial::Disabled),
            user if self.settings.email_confirmation_required && !user.email_verified => {
                Some(Denial::EmailNotVerified)
            }
            _ => None,
        };
        if let Some(denial) = denial {
            accounts.commit().await?;
            return Err(denied(OPERATION, denial));
        }
        let tokens = self.tokens_of(&mut accounts, user, SessionId(self.ids.next())).await?;
        accounts.commit().await?;
        Ok(SignIn::Tokens(tokens))
    }

    async fn respond(
        &self,
        _session: &SecretString,
        _kind: ChallengeKind,
        _answer: &SecretString,
    ) -> Result<SignIn> {
        // No sign-in ends in a challenge here, so no session of one is right.
        Err(wrong_code("identity.respond"))
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Tokens> {
        const OPERATION: &str = "identity.refresh";
        let invalid = || denied(OPERATION, Denial::InvalidToken);
        let key = token_key(refresh_token);
        let mut accounts = self.begin(OPERATION).await?;
        let token: RefreshToken = accounts.get(&key).await?.ok_or_else(invalid)?;
        let session_id = token.session_id;
        let session: Option<Session> = accounts.get(session_id.0.as_bytes()).await?;
        let user_id = session.ok_or_else(invalid)?.user_id;
        let user = accounts.user(user_id).await?.ok_or_else(invalid)?;
        let standing = self.tokens.revocations.standing(user_id, session_id, accounts.now())?;
        if token.spent || standing.session_ended {
            // Somebody has a copy, and nobody can tell who is the thief, so the whole session ends; or it ended, and a
            // crash kept that from the database.
            self.tokens.revocations.append(vec![Mark::Session(session_id)], accounts.now()).await?;
            accounts.end_session(session_id).await?;
            accounts.commit().await?;
            return Err(invalid());
        }
        if user.disabled {
            return Err(denied(OPERATION, Denial::Disabled));
        }
        let spent = RefreshToken { session_id, spent: true };
        let until = Some(after(accounts.now(), self.settings.refresh_token_lifetime));
        accounts.put(&key, &spent, Keep { owner: Some(session_id.0.as_bytes()), until }).await?;
        let tokens = self.tokens_of(&mut accounts, user, session_id).await?;
        accounts.commit().await?;
        Ok(tokens)
    }

    async fn sign_out(&self, user_id: UserId, session_id: SessionId) -> Result<()> {
        let mut accounts = self.begin("identity.sign_out").await?;
        let session: Option<Session> = accounts.get(session_id.0.as_bytes()).await?;
        if session.is_none_or(|session| session.user_id != user_id) {
            return Ok(());
        }
        self.tokens.revocations.append(vec![Mark::Session(session_id)], accounts.now()).await?;
        accounts.end_session(session_id).await?;
        accounts.commit().await
    }

    async fn forgot(&self, email: &Email) -> Result<()> {
        self.mail_code(email, CodePurpose::ResetPassword, "identity.forgot").await
    }

    async fn reset(&self, email: &Email, code: &str, new_password: &SecretString) -> Result<()> {
        const OPERATION: &str = "identity.reset";
        const PURPOSE: CodePurpose = CodePurpose::ResetPassword;
        Passwords::check(new_password, OPERATION)?;
        let address = address_key(email);
        let mut accounts = self.begin(OPERATION).await?;
        if !codes::check(&mut accounts, &address, PURPOSE, code).await? {
            accounts.commit().await?;
            return Err(wrong_code(OPERATION));
        }
        // Hashing takes long, and others write meanwhile: the code is checked again and spent with the change.
        drop(accounts);
        let password_hash = self.passwords.hash(new_password).await?;

        let mut accounts = self.begin(OPERATION).await?;
        let is_right = codes::check(&mut accounts, &address, PURPOSE, code).await?;
        let user = accounts.user_at(&address).await?.filter(|_| is_right);
        let Some(mut user) = user else {
            accounts.commit().await?;
            return Err(wrong_code(OPERATION));
        };
        codes::spend(&mut accounts, &address, PURPOSE).await?;
        accounts.delete::<Failures>(&address).await?;
        user.password_hash = password_hash;
        // The code came back from the address.
        user.email_verified = true;
        accounts.put_user(&user).await?;
        let ended = self.end_sessions(&mut accounts, user.id).await?;
        self.tokens.revocations.append(ended, accounts.now()).await?;
        accounts.commit().await
    }

    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>> {
        Ok(self.read("identity.profile").await?.user(user_id).await?.map(profile))
    }

    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile> {
        let mut accounts = self.begin("identity.update").await?;
        let user = accounts.user(user_id).await?;
        let mut user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        if let Some(display_name) = update.display_name {
            user.display_name = display_name;
        }
        let mut delivery = None;
        if let Some(email) = update.email
            && email != user.email
        {
            let address = address_key(&email);
            check_free(&mut accounts, &address).await?;
            forget_address(&mut accounts, &address_key(&user.email)).await?;
            accounts.put(&address, &AddressOwner(user_id), Keep::default()).await?;
            user.email = email;
            user.email_verified = false;
            delivery = self.confirmation(&mut accounts, &address, &user).await?;
        }
        accounts.put_user(&user).await?;
        accounts.commit().await?;
        self.deliver(delivery);
        Ok(profile(user))
    }

    async fn set_disabled(&self, user_id: UserId, disabled: bool) -> Result<()> {
        let mut accounts = self.begin("identity.set_disabled").await?;
        let now = accounts.now();
        let user = accounts.user(user_id).await?;
        let mut user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        user.disabled = disabled;
        if disabled {
            self.mark(&mut user, now).await?;
            accounts.put_user(&user).await?;
            return accounts.commit().await;
        }
        // The other way round: the mark that lets tokens verify again must not outrun the change.
        user.mark_version = self.next_mark(&user)?;
        accounts.put_user(&user).await?;
        accounts.commit().await?;
        let mark = Mark::User { user_id, version: user.mark_version, barred: false };
        let marked = self.tokens.revocations.append(vec![mark], now).await;
        marked.map_err(|error| error.with_outcome(ports::Outcome::Applied))
    }

    async fn delete(&self, user_id: UserId) -> Result<()> {
        let mut accounts = self.begin("identity.delete").await?;
        let Some(user) = accounts.user(user_id).await? else { return Ok(()) };
        let mut marks = self.end_sessions(&mut accounts, user_id).await?;
        marks.push(Mark::User { user_id, version: self.next_mark(&user)?, barred: true });
        forget_address(&mut accounts, &address_key(&user.email)).await?;
        accounts.delete::<User>(user_id.0.as_bytes()).await?;
        self.tokens.revocations.append(marks, accounts.now()).await?;
        accounts.commit().await
    }
}

impl LocalIdentity {
    /// New tokens of a session, and the session where it is new.
    async fn tokens_of(
        &self,
        accounts: &mut Accounts,
        mut user: User,
        session_id: SessionId,
    ) -> Result<Tokens> {
        let now = accounts.now();
        if self.tokens.revocations.standing(user.id, session_id, now)?.user_barred {
            // A crash came between barring them, or letting them in again, and its other half: the database counts.
            self.mark(&mut user, now).await?;
            accounts.put_user(&user).await?;
        }
        let until = Some(after(now, self.settings.refresh_token_lifetime));
        let session = Session { user_id: user.id };
        let keep = Keep { owner: Some(user.id.0.as_bytes()), until };
        accounts.put(session_id.0.as_bytes(), &session, keep).await?;

        let refresh_token = SecretString::from(URL_SAFE_NO_PAD.encode(random::<32>()?));
        let token = RefreshToken { session_id, spent: false };
        let keep = Keep { owner: Some(session_id.0.as_bytes()), until };
        accounts.put(&token_key(&refresh_token), &token, keep).await?;

        let whose = (user.id, session_id);
        Ok(Tokens {
            access_token: self.tokens.issue(whose, &roles(), self.ids.next(), now)?,
            refresh_token,
            expires_in_seconds: self.settings.access_token_lifetime.as_secs(),
            user_id: user.id,
            session_id,
        })
    }

    /// Ends the sessions of a user, and answers the marks that revoke their access tokens.
    async fn end_sessions(&self, accounts: &mut Accounts, user_id: UserId) -> Result<Vec<Mark>> {
        let sessions = accounts.sessions(user_id).await?;
        for session in &sessions {
            accounts.end_session(*session).await?;
        }
        Ok(sessions.into_iter().map(Mark::Session).collect())
    }

    /// Above every mark there is: also above one whose change was not committed.
    fn next_mark(&self, user: &User) -> Result<u64> {
        let marked = self.tokens.revocations.version(user.id)?.unwrap_or(0);
        Ok(marked.max(user.mark_version) + 1)
    }

    /// Makes the access tokens of a user verify, or not, as `disabled` says.
    async fn mark(&self, user: &mut User, now: Timestamp) -> Result<()> {
        user.mark_version = self.next_mark(user)?;
        let mark = Mark::User { user_id: user.id, version: user.mark_version, barred: user.disabled };
        self.tokens.revocations.append(vec![mark], now).await
    }

    async fn count_failure(&self, accounts: &mut Accounts, address: &AddressKey) -> Result<()> {
        let now = accounts.now();
        let earlier: Option<Failures> = accounts.get(address).await?;
        // A lock that is over starts the count anew.
        let count =
            earlier.filter(|failures| failures.locked_until.is_none()).map_or(0, |failures| failures.count)
                + 1;
        let locks = count >= self.settings.lockout_failures;
        let locked_until = locks.then(|| after(now, self.settings.lockout_duration));
        let until = locked_until.unwrap_or_else(|| after(now, FAILURES_KEPT));
        accounts
            .put(address, &Failures { count, locked_until }, Keep { owner: None, until: Some(until) })
            .await
    }

    /// The code that confirms a user's address, where one is needed.
    async fn confirmation(
        &self,
        accounts: &mut Accounts,
        address: &AddressKey,
        user: &User,
    ) -> Result<Option<Delivery>> {
        if !self.settings.email_confirmation_required {
            return Ok(None);
        }
        self.issue_code(accounts, address, CodePurpose::ConfirmEmail, Some(&user.email)).await
    }

    async fn issue_code(
        &self,
        accounts: &mut Accounts,
        address: &AddressKey,
        purpose: CodePurpose,
        email: Option<&Email>,
    ) -> Result<Option<Delivery>> {
        let delivery = codes::issue(accounts, address, purpose, email).await?;
        if let Some(delivery) = &delivery
            && self.settings.code_sink.is_none()
        {
            codes::keep(accounts, address, delivery).await?;
        }
        Ok(delivery)
    }

    /// Mails a code to an address that somebody signed up with, and does as much for any other.
    async fn mail_code(&self, email: &Email, purpose: CodePurpose, operation: &'static str) -> Result<()> {
        let address = address_key(email);
        let mut accounts = self.begin(operation).await?;
        let user = accounts.user_at(&address).await?;
        let user = user.filter(|user| purpose == CodePurpose::ResetPassword || !user.email_verified);
        let delivery =
            self.issue_code(&mut accounts, &address, purpose, user.map(|user| user.email).as_ref()).await?;
        accounts.commit().await?;
        self.deliver(delivery);
        Ok(())
    }

    fn deliver(&self, delivery: Option<Delivery>) {
        let Some(Delivery { email, purpose, code }) = delivery else { return };
        match &self.settings.code_sink {
            Some(sink) => sink.deliver(&email, purpose, &code),
            None if self.settings.log_codes => tracing::info!(
                email = email.expose(),
                purpose = purpose.as_str(),
                code = code.expose_secret(),
                "a code (development only)"
            ),
            None => {}
        }
    }
}

/// Every user is just that, so far.
fn roles() -> BTreeSet<Role> {
    BTreeSet::from([Role::User])
}

fn profile(user: User) -> Profile {
    Profile {
        user_id: user.id,
        email: user.email,
        email_verified: user.email_verified,
        display_name: user.display_name,
        roles: roles(),
        created_at: user.created_at,
        disabled: user.disabled,
    }
}

fn token_key(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret()).into()
}

fn denied(operation: &'static str, denial: Denial) -> Error {
    let kind = match denial {
        Denial::Locked { .. } => ErrorKind::RateLimited,
        Denial::WrongCredentials
        | Denial::EmailNotVerified
        | Denial::Disabled
        | Denial::WrongCode
        | Denial::InvalidToken => ErrorKind::PermissionDenied,
    };
    Error::new(kind, operation).with_cause(denial)
}

async fn check_free(accounts: &mut Accounts, address: &AddressKey) -> Result<()> {
    match accounts.get::<AddressOwner>(address).await? {
        Some(_) => Err(accounts.error(ErrorKind::Conflict)),
        None => Ok(()),
    }
}

async fn check_unlocked(accounts: &mut Accounts, address: &AddressKey) -> Result<()> {
    let now = accounts.now();
    let failures: Option<Failures> = accounts.get(address).await?;
    let Some(until) = failures.and_then(|failures| failures.locked_until).filter(|until| *until > now) else {
        return Ok(());
    };
    let retry_after_seconds = u64::try_from(until.as_second() - now.as_second() + 1).unwrap_or(1);
    Err(denied("identity.sign_in", Denial::Locked { retry_after_seconds }))
}

/// Leaves nothing of an address: someone else may sign up with it next.
async fn forget_address(accounts: &mut Accounts, address: &AddressKey) -> Result<()> {
    for purpose in [CodePurpose::ConfirmEmail, CodePurpose::ResetPassword] {
        codes::spend(accounts, address, purpose).await?;
    }
    accounts.delete::<Failures>(address).await?;
    accounts.delete::<AddressOwner>(address).await
}
