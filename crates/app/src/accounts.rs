//! Signing up and in, through the identity port.

use domain::ids::UserId;
use ports::{Email, NewUser, Profile, SignIn, SignInContext};
use secrecy::SecretString;

use crate::{App, error::Result};

/// How a sign-up ended.
pub enum SignUp {
    /// Signed up and in.
    SignedIn(SignIn),
    /// A code was mailed to the address.
    ConfirmationRequired,
}

impl App {
    /// Creates an account and, where no confirmation is needed, signs in.
    pub async fn sign_up(
        &self,
        email: Email,
        password: SecretString,
        display_name: Option<String>,
        from: &SignInContext,
    ) -> Result<SignUp> {
        let user_id = UserId(self.platform.ids.next());
        let user = NewUser { user_id, email: email.clone(), password: password.clone(), display_name };
        let profile: Profile = self.platform.identity.sign_up(user).await?;
        if profile.email_verified {
            return Ok(SignUp::SignedIn(self.platform.identity.sign_in(&email, &password, from).await?));
        }
        match self.platform.identity.sign_in(&email, &password, from).await {
            Ok(sign_in) => Ok(SignUp::SignedIn(sign_in)),
            Err(error) if ports::denial(&error) == Some(ports::Denial::EmailNotVerified) => {
                Ok(SignUp::ConfirmationRequired)
            }
            Err(error) => Err(error.into()),
        }
    }
}
