//! The second factor.

use async_trait::async_trait;
use domain::ids::UserId;
use ports::{Error, ErrorKind, MultiFactor, Result, TotpSecret};
use secrecy::SecretString;

use super::LocalIdentity;

#[async_trait]
impl MultiFactor for LocalIdentity {
    async fn set_up(&self, _user_id: UserId) -> Result<TotpSecret> {
        Err(Error::new(ErrorKind::Unavailable, "multi_factor.set_up"))
    }

    async fn verify(&self, _user_id: UserId, _code: &SecretString) -> Result<Vec<SecretString>> {
        Err(Error::new(ErrorKind::Unavailable, "multi_factor.verify"))
    }

    async fn disable(&self, _user_id: UserId, _code: &SecretString) -> Result<()> {
        Err(Error::new(ErrorKind::Unavailable, "multi_factor.disable"))
    }

    async fn is_on(&self, _user_id: UserId) -> Result<bool> {
        Ok(false)
    }
}
