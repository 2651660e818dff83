//! A server, and everybody who asks it for something.

use std::{collections::BTreeMap, sync::Arc};

use adapters_local::{
    SystemClock, SystemIds,
    embedded::Database,
    identity::{LocalIdentity, PasswordCost, Settings},
};
use conformance::ManualClock;
use domain::ids::UserId;
use e2e::Phone;
use ports::{Clock, Email, IdentityProvider, Role, SignIn, SignInContext};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{Server, healthkit, heart_rate, new_id, upload};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Caller {
    /// Whose things they are.
    Owner,
    /// Another user.
    Other,
    /// A clinician to whom nobody consented.
    Clinician,
    Operator,
    /// Without a token.
    Nobody,
    /// With an access token that was good once.
    Expired,
    /// With a refresh token.
    WrongType,
    /// With an access token of a session that was ended.
    SignedOut,
    /// With an access token of a user who was barred since.
    Disabled,
    /// With an access token of a user who is no more.
    Deleted,
}

pub(crate) struct People {
    server: Server,
    pub(crate) client: reqwest::Client,
    tokens: BTreeMap<Caller, String>,
    users: BTreeMap<Caller, Phone>,
    /// What each place of a path is called, and what of the owner's stands there.
    pub(crate) things: BTreeMap<&'static str, String>,
}

impl People {
    pub(crate) async fn new() -> Self {
        let server = Server::start(&[]);
        let identity = provider(&server, Arc::new(SystemClock)).await;
        let mut users = BTreeMap::new();
        for caller in [
            Caller::Owner,
            Caller::Other,
            Caller::Clinician,
            Caller::Operator,
            Caller::SignedOut,
            Caller::Disabled,
            Caller::Deleted,
        ] {
            users.insert(caller, server.phone().await);
        }
        for (caller, roles) in [
            (Caller::Clinician, [Role::User, Role::Clinician].as_slice()),
            (Caller::Operator, [Role::Operator].as_slice()),
        ] {
            let phone = users.get_mut(&caller).unwrap();
            identity.set_roles(id(phone), roles.iter().copied().collect()).await.unwrap();
            sign_in(phone).await;
        }
        let things = things(&server, &identity, &users[&Caller::Owner]).await;
        let gone = &users[&Caller::SignedOut];
        gone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
        identity.set_disabled(id(&users[&Caller::Disabled]), true).await.unwrap();
        identity.delete(id(&users[&Caller::Deleted])).await.unwrap();
        let mut tokens: BTreeMap<Caller, String> =
            users.iter().map(|(caller, phone)| (*caller, phone.access_token.clone())).collect();
        let owner = &users[&Caller::Owner];
        tokens.insert(Caller::WrongType, owner.refresh_token.clone());
        tokens.insert(Caller::Expired, expired(&server, owner).await);
        let client = reqwest::Client::builder().build().unwrap();
        Self { server, client, tokens, users, things }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    pub(crate) fn token(&self, caller: Caller) -> Option<&str> {
        self.tokens.get(&caller).map(String::as_str)
    }

    /// In each place something that nobody has.
    pub(crate) fn unknown(&self) -> BTreeMap<&'static str, String> {
        self.things.keys().map(|name| (*name, new_id())).collect()
    }

    /// The owner's things, but for the user's id: the caller's own.
    pub(crate) fn things_for(&self, caller: Caller) -> BTreeMap<&'static str, String> {
        let mut things = self.things.clone();
        things.insert("user_id", self.users[&caller].user_id.clone());
        things
    }

    pub(crate) async fn readings_of_owner(&self) -> Vec<Value> {
        self.readings_of(Caller::Owner).await
    }

    pub(crate) async fn readings_of(&self, caller: Caller) -> Vec<Value> {
        self.users[&caller].all_readings().await.unwrap()
    }
}

fn id(phone: &Phone) -> UserId {
    phone.user_id.parse().unwrap()
}

/// The server's own provider, opened by another process: this one.
async fn provider(server: &Server, clock: Arc<dyn Clock>) -> Arc<LocalIdentity> {
    let folder = server.data.path();
    let database = Database::open(folder).await.unwrap();
    let settings =
        Settings { password_cost: PasswordCost::LOWEST, ..Settings::new("clarity", "clarity-api") };
    LocalIdentity::embedded(database, folder, settings, clock, Arc::new(SystemIds)).await.unwrap()
}

/// An access token that the server's own key signed, and whose time is over.
async fn expired(server: &Server, phone: &Phone) -> String {
    let yesterday = SystemClock.now() - jiff::SignedDuration::from_hours(24);
    let identity = provider(server, Arc::new(ManualClock::new(yesterday))).await;
    let (email, password) = (Email::parse(&phone.email).unwrap(), phone.password.clone().into());
    match identity.sign_in(&email, &password, &SignInContext::default()).await.unwrap() {
        SignIn::Tokens(tokens) => tokens.access_token.expose_secret().to_owned(),
        SignIn::Challenge { .. } => panic!("nobody asked for a challenge"),
    }
}

async fn sign_in(phone: &mut Phone) {
    let body = json!({ "email": phone.email, "password": phone.password });
    let tokens = e2e::read(phone.anonymous(Method::POST, "auth/login").json(&body)).await.unwrap();
    phone.take_tokens(&tokens.expect(200).unwrap()).unwrap();
}

/// One of everything, and some readings, so that a listing has two pages.
async fn things(server: &Server, identity: &LocalIdentity, owner: &Phone) -> BTreeMap<&'static str, String> {
    let uploaded = upload(owner, &healthkit(owner, &[heart_rate(0), heart_rate(1)])).await;
    let upload_id = uploaded["upload_id"].as_str().unwrap().to_owned();
    let insight = owner.post("insights", &json!({})).await.unwrap().expect(200).unwrap();
    // To a clinician of whom nothing else here knows.
    let clinician = server.phone().await;
    identity.set_roles(id(&clinician), [Role::User, Role::Clinician].into()).await.unwrap();
    let consent = json!({ "clinician_email": clinician.email });
    let consent = owner.post("users/me/consents", &consent).await.unwrap().expect(201).unwrap();
    let lines =
        owner.request(Method::POST, "healthkit/stream").header("content-type", "application/x-ndjson");
    let receipts = lines.body(heart_rate(2).to_string()).send().await.unwrap().text().await.unwrap();
    let import: serde_json::Value = serde_json::from_str(receipts.lines().last().unwrap()).unwrap();
    let mut analysis = serde_json::Value::Null;
    for _ in 0..2 {
        analysis = crate::retina::analyse(owner, "left", "grade-0-b.jpg").await;
    }
    let sessions = owner.get("auth/sessions").await.unwrap().expect(200).unwrap();
    BTreeMap::from([
        ("user_id", owner.user_id.clone()),
        ("processing_id", upload_id.clone()),
        ("upload_id", upload_id.clone()),
        ("sync_id", upload_id),
        ("insight_id", insight["data"]["insight_id"].as_str().unwrap().to_owned()),
        ("analysis_id", analysis["analysis_id"].as_str().unwrap().to_owned()),
        ("consent_id", consent["consent_id"].as_str().unwrap().to_owned()),
        ("import_id", import["import"]["import_id"].as_str().unwrap().to_owned()),
        ("room", "general".to_owned()),
        ("key", "raw/somebody".to_owned()),
        ("session_id", sessions["data"][0]["id"].as_str().unwrap().to_owned()),
    ])
}
