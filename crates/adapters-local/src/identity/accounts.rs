//! The rules of accounts.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use ports::{
    ChallengeKind, Denial, Email, Error, ErrorKind, IdentityProvider, NewUser, Profile, ProfileUpdate,
    Result, Role, SignIn, SignInContext, Tokens,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    CodePurpose, LocalIdentity,
    codes::{self, Delivery, wrong_code},
    lockout::{Counted, check_unlocked},
    multi_factor::second_factor,
    revocations::Mark,
    rows::{
        Accounts, AddressKey, AddressOwner, Failures, Keep, RefreshToken, SecondFactor, Session, Trade, User,
        address_key, after, only_user,
    },
    sessions::{attempt_key, opaque_token, token_key},
};

#[async_trait]
impl IdentityProvider for LocalIdentity {
    async fn sign_up(&self, new: NewUser) -> Result<Profile> {
        const OPERATION: &str = "identity.sign_up";
        if !self.settings.self_sign_up {
            return Err(Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause("sign-up is off"));
        }
        self.passwords.check(&new.password, &new.email, OPERATION)?;
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
            roles: only_user(),
            version: 0,
            mark_version: 0,
        };
        if self.tokens.revocations.version(user.id)?.is_some() {
            // The id was deleted a moment ago. Its old sessions are revoked one by one and stay so.
            self.mark(&mut user, accounts.now()).await?;
        }
        accounts.put_user(&mut user).await?;
        accounts.put(&address, &AddressOwner(user.id), Keep::default()).await?;
        // Whoever guessed at the address before guessed at nobody's account.
        accounts.delete::<Failures>(&address).await?;
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
        accounts.put_user(&mut user).await?;
        codes::spend(&mut accounts, &address, CodePurpose::ConfirmEmail).await?;
        accounts.commit().await
    }

    async fn resend(&self, email: &Email) -> Result<()> {
        self.mail_code(email, CodePurpose::ConfirmEmail, "identity.resend").await
    }

    async fn sign_in(&self, email: &Email, password: &SecretString, from: &SignInContext) -> Result<SignIn> {
        const OPERATION: &str = "identity.sign_in";
        let counted = Counted::new(email, from.address);
        let mut reading = self.read(OPERATION).await?;
        check_unlocked(&mut reading, &counted, OPERATION).await?;
        let seen = reading.user_at(&counted.account).await?.map(|user| user.password_hash);
        drop(reading);
        let is_right = self.passwords.matches(password, seen.as_deref()).await?;

        let mut accounts = self.begin(OPERATION).await?;
        // Again, and before anything depends on the password: of many guesses at a time only the first few are answered.
        check_unlocked(&mut accounts, &counted, OPERATION).await?;
        let user = accounts.user_at(&counted.account).await?;
        let user = user.filter(|user| is_right && Some(&user.password_hash) == seen.as_ref());
        let Some(user) = user else {
            self.count_failure(&mut accounts, &counted).await?;
            accounts.commit().await?;
            return Err(denied(OPERATION, Denial::WrongCredentials));
        };
        let asks_more = second_factor(&mut accounts, user.id).await?.is_some();
        if !asks_more {
            // Else only the second factor sets them back, or whoever has the password could try code after code.
            accounts.delete::<Failures>(&counted.account).await?;
        }
        if let Some(denial) = self.bar(&user) {
            accounts.commit().await?;
            return Err(denied(OPERATION, denial));
        }
        if asks_more {
            let challenge = self.challenge(&mut accounts, user.id, from).await?;
            accounts.commit().await?;
            return Ok(challenge);
        }
        let session = Session::new(user.id, from, accounts.now());
        let session_id = SessionId(self.ids.next());
        let tokens = self.tokens_of(&mut accounts, user, (session_id, &session), opaque_token()?).await?;
        accounts.commit().await?;
        Ok(SignIn::Tokens(tokens))
    }

    async fn respond(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn> {
        self.answer_challenge(session, kind, answer, from).await
    }

    async fn refresh(&self, refresh_token: &SecretString, attempt: Option<&str>) -> Result<Tokens> {
        const OPERATION: &str = "identity.refresh";
        let invalid = || denied(OPERATION, Denial::InvalidToken);
        let key = token_key(refresh_token);
        let mut accounts = self.begin(OPERATION).await?;
        let token: RefreshToken = accounts.get(&key).await?.ok_or_else(invalid)?;
        let session_id = token.session_id;
        let session: Option<Session> = accounts.get(session_id.0.as_bytes()).await?;
        let mut session = session.ok_or_else(invalid)?;
        let user_id = session.user_id;
        let user = accounts.user(user_id).await?.ok_or_else(invalid)?;
        let standing = self.tokens.revocations.standing(user_id, session_id, accounts.now())?;
        let repeated = self.traded_for(&mut accounts, &token, attempt).await?;
        if (token.spent && repeated.is_none()) || standing.session_ended {
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
        let next = match repeated {
            Some(next) => next,
            None => opaque_token()?,
        };
        let trade = attempt.map(|attempt| {
            let next = self.sealer.seal(next.expose_secret().as_bytes(), session_id.0.as_bytes())?;
            Result::Ok(Trade { attempt: attempt_key(attempt), next })
        });
        let spent = RefreshToken { session_id, spent: true, trade: trade.transpose()? };
        let until = Some(after(accounts.now(), self.settings.refresh_token_lifetime));
        accounts.put(&key, &spent, Keep { owner: Some(session_id.0.as_bytes()), until }).await?;
        session.last_used_at = accounts.now();
        let tokens = self.tokens_of(&mut accounts, user, (session_id, &session), next).await?;
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
        self.passwords.check(new_password, email, OPERATION)?;
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
        accounts.put_user(&mut user).await?;
        let ended = self.end_sessions(&mut accounts, user.id, None).await?;
        self.tokens.revocations.append(ended, accounts.now()).await?;
        accounts.commit().await
    }

    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>> {
        Ok(self.read("identity.profile").await?.user(user_id).await?.map(profile))
    }

    async fn find(&self, email: &Email) -> Result<Option<Profile>> {
        Ok(self.read("identity.find").await?.user_at(&address_key(email)).await?.map(profile))
    }

    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile> {
        let mut accounts = self.begin("identity.update").await?;
        let user = accounts.user(user_id).await?;
        let mut user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        if update.expected_version.is_some_and(|version| version != user.version) {
            return Err(accounts.error(ErrorKind::Conflict));
        }
        if update.display_name.is_none() && update.email.is_none() {
            return Ok(profile(user));
        }
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
        accounts.put_user(&mut user).await?;
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
            accounts.put_user(&mut user).await?;
            return accounts.commit().await;
        }
        // The other way round: the mark that lets tokens verify again must not outrun the change.
        user.mark_version = self.next_mark(&user)?;
        accounts.put_user(&mut user).await?;
        accounts.commit().await?;
        let mark = Mark::User { user_id, version: user.mark_version, barred: false };
        let marked = self.tokens.revocations.append(vec![mark], now).await;
        marked.map_err(|error| error.with_outcome(ports::Outcome::Applied))
    }

    async fn set_roles(&self, user_id: UserId, roles: BTreeSet<Role>) -> Result<()> {
        const OPERATION: &str = "identity.set_roles";
        if !roles_fit(&roles) {
            let cause = "roles are user, user and clinician, or operator";
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(cause));
        }
        let mut accounts = self.begin(OPERATION).await?;
        let user = accounts.user(user_id).await?;
        let mut user = user.ok_or_else(|| accounts.error(ErrorKind::NotFound))?;
        user.roles = roles;
        accounts.put_user(&mut user).await?;
        let ended = self.end_sessions(&mut accounts, user_id, None).await?;
        self.tokens.revocations.append(ended, accounts.now()).await?;
        accounts.commit().await
    }

    async fn delete(&self, user_id: UserId) -> Result<()> {
        let mut accounts = self.begin("identity.delete").await?;
        let Some(user) = accounts.user(user_id).await? else { return Ok(()) };
        let mut marks = self.end_sessions(&mut accounts, user_id, None).await?;
        marks.push(Mark::User { user_id, version: self.next_mark(&user)?, barred: true });
        let address = address_key(&user.email);
        forget_address(&mut accounts, &address).await?;
        codes::forget(&mut accounts, &address, user_id).await?;
        accounts.delete::<SecondFactor>(user_id.0.as_bytes()).await?;
        accounts.delete::<User>(user_id.0.as_bytes()).await?;
        self.tokens.revocations.append(marks, accounts.now()).await?;
        accounts.commit().await
    }
}

impl LocalIdentity {
    /// What keeps a user out whose password is right.
    pub(super) fn bar(&self, user: &User) -> Option<Denial> {
        if user.disabled {
            return Some(Denial::Disabled);
        }
        let is_awaited = self.settings.email_confirmation_required && !user.email_verified;
        is_awaited.then_some(Denial::EmailNotVerified)
    }

    /// Above every mark there is: also above one whose change was not committed.
    fn next_mark(&self, user: &User) -> Result<u64> {
        let marked = self.tokens.revocations.version(user.id)?.unwrap_or(0);
        Ok(marked.max(user.mark_version) + 1)
    }

    /// Makes the access tokens of a user verify, or not, as `disabled` says.
    pub(super) async fn mark(&self, user: &mut User, now: Timestamp) -> Result<()> {
        user.mark_version = self.next_mark(user)?;
        let mark = Mark::User { user_id: user.id, version: user.mark_version, barred: user.disabled };
        self.tokens.revocations.append(vec![mark], now).await
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
        self.issue_code(accounts, address, CodePurpose::ConfirmEmail, Some(user)).await
    }

    async fn issue_code(
        &self,
        accounts: &mut Accounts,
        address: &AddressKey,
        purpose: CodePurpose,
        user: Option<&User>,
    ) -> Result<Option<Delivery>> {
        let delivery = codes::issue(accounts, address, purpose, user).await?;
        if let Some(delivery) = &delivery
            && self.settings.keep_codes
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
        let delivery = self.issue_code(&mut accounts, &address, purpose, user.as_ref()).await?;
        accounts.commit().await?;
        self.deliver(delivery);
        Ok(())
    }

    fn deliver(&self, delivery: Option<Delivery>) {
        let Some(Delivery { email, purpose, code }) = delivery else { return };
        if let Some(sink) = &self.settings.code_sink {
            sink.deliver(&email, purpose, &code);
        }
    }
}

/// Whoever runs the service has no data of their own, and whoever sees the data of others does.
fn roles_fit(roles: &BTreeSet<Role>) -> bool {
    let is_operator = roles.contains(&Role::Operator) && roles.len() == 1;
    is_operator || (roles.contains(&Role::User) && !roles.contains(&Role::Operator))
}

fn profile(user: User) -> Profile {
    Profile {
        user_id: user.id,
        email: user.email,
        email_verified: user.email_verified,
        display_name: user.display_name,
        roles: user.roles,
        created_at: user.created_at,
        disabled: user.disabled,
        version: user.version,
    }
}

pub(super) fn denied(operation: &'static str, denial: Denial) -> Error {
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

/// Leaves nothing of an address: someone else may sign up with it next.
async fn forget_address(accounts: &mut Accounts, address: &AddressKey) -> Result<()> {
    for purpose in [CodePurpose::ConfirmEmail, CodePurpose::ResetPassword] {
        codes::spend(accounts, address, purpose).await?;
    }
    accounts.delete::<Failures>(address).await?;
    accounts.delete::<AddressOwner>(address).await
}
