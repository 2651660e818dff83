//! People with other roles than everybody's.

use std::sync::Arc;

use adapters_local::{
    SystemClock, SystemIds,
    embedded::Database,
    identity::{LocalIdentity, Settings},
};
use e2e::{Phone, read};
use ports::{IdentityProvider, Role};
use reqwest::Method;
use serde_json::json;

use crate::support::Server;

/// Someone who signed up and was then given roles.
async fn with_roles(server: &Server, roles: &[Role]) -> Phone {
    let mut phone = server.phone().await;
    set_roles(server, &mut phone, roles).await;
    phone
}

/// Gives someone other roles by the provider, which this process opens as another one of the server's folder, and signs them in.
pub(crate) async fn set_roles(server: &Server, phone: &mut Phone, roles: &[Role]) {
    let folder = server.data.path();
    let database = Database::open(folder).await.unwrap();
    let settings = Settings::new("clarity", "clarity-api");
    let identity =
        LocalIdentity::embedded(database, folder, settings, Arc::new(SystemClock), Arc::new(SystemIds))
            .await
            .unwrap();
    identity.set_roles(phone.user_id.parse().unwrap(), roles.iter().copied().collect()).await.unwrap();
    sign_in(phone).await;
}

/// Signs a person in anew.
pub(crate) async fn sign_in(phone: &mut Phone) {
    let body = json!({ "email": phone.email, "password": phone.password });
    let tokens = read(phone.anonymous(Method::POST, "auth/login").json(&body)).await.unwrap();
    phone.take_tokens(&tokens.expect(200).unwrap()).unwrap();
}

pub(crate) async fn clinician_of(server: &Server) -> Phone {
    with_roles(server, &[Role::User, Role::Clinician]).await
}

pub(crate) async fn operator_of(server: &Server) -> Phone {
    with_roles(server, &[Role::Operator]).await
}
