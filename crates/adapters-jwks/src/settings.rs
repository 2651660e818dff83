//! What is configured of an issuer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ports::{Error, ErrorKind, Result, Role};
use reqwest::Url;

use crate::key::Algorithm;

/// How much clocks may differ at most, whatever is configured.
pub(crate) const LEEWAY_MAX: Duration = Duration::from_mins(1);

/// One issuer, and what its tokens must say.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// What Clarity calls the issuer, as in `auth_provider`.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are; without it, at `/.well-known/jwks.json` below the issuer.
    pub jwks_url: Option<String>,
    /// What `aud` must name. Without it, a token that has an `aud` is for someone else.
    pub audience: Option<String>,
    /// One of these must be the `client_id`; where there are none, it does not matter.
    pub client_ids: BTreeSet<String>,
    /// What `token_use` must be. Without it, a token that has one must be an access token.
    pub token_use: Option<String>,
    /// How tokens may be signed.
    pub algorithms: BTreeSet<Algorithm>,
    /// Where the bearer's groups are.
    pub roles_claim: Option<String>,
    /// What each group may do. Other groups mean nothing.
    pub roles: BTreeMap<String, Role>,
    /// By how much clocks may differ, at most a minute.
    pub leeway: Duration,
    /// Tokens that promise to live longer are refused: what is revoked need not be remembered for ever.
    pub token_lifetime_max: Duration,
    pub fetch: FetchSettings,
}

/// How keys are fetched.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    pub connect_timeout: Duration,
    /// For all of a fetch.
    pub timeout: Duration,
    /// How long after a fetch the next one may follow, whatever tokens come in.
    pub interval: Duration,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            interval: Duration::from_secs(30),
        }
    }
}

impl IssuerSettings {
    /// An issuer whose tokens have this `iss`, and still need an audience or clients.
    pub fn new(name: &str, issuer: &str) -> Self {
        Self {
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            jwks_url: None,
            audience: None,
            client_ids: BTreeSet::new(),
            token_use: None,
            algorithms: Algorithm::ALL.into(),
            roles_claim: None,
            roles: BTreeMap::new(),
            leeway: LEEWAY_MAX,
            token_lifetime_max: Duration::from_hours(24),
            fetch: FetchSettings::default(),
        }
    }

    /// Where the keys are, if everything here can be used.
    pub(crate) fn checked(&self) -> Result<Url> {
        let refuse = |problem: &'static str| {
            Err(Error::new(ErrorKind::InvalidInput, "identity.issuer").with_cause(problem))
        };
        if self.audience.is_none() && self.client_ids.is_empty() {
            return refuse("an issuer needs an audience or client ids, or tokens for anyone would be taken");
        }
        if self.algorithms.is_empty() || self.leeway > LEEWAY_MAX {
            return refuse("an issuer needs an algorithm and a leeway of at most a minute");
        }
        let text = match &self.jwks_url {
            Some(url) => url.clone(),
            None => format!("{}/.well-known/jwks.json", self.issuer.trim_end_matches('/')),
        };
        let Ok(url) = Url::parse(&text) else { return refuse("the address of the keys is no URL") };
        let is_here = url.host_str().is_some_and(is_loopback);
        if url.scheme() == "https" || (url.scheme() == "http" && is_here) {
            return Ok(url);
        }
        refuse("keys are fetched by https only, except from this machine")
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
