//! What the claims of a token must say, and what is taken from them.

use std::collections::BTreeSet;

use domain::ids::SessionId;
use jiff::{SignedDuration, Timestamp};
use ports::{Email, ExternalToken, Role};
use serde_json::{Map, Value};
use uuid::{Uuid, uuid};

use crate::settings::IssuerSettings;

/// Names the sessions of external issuers. Never change it: sessions that ended would not be known any more.
const SESSIONS: Uuid = uuid!("5e0f9c1e-7a3b-4d0c-9d5e-0f6b1d3c8a72");
const SUBJECT_LENGTH_MAX: usize = 255;
const TOKEN_ID_LENGTH_MAX: usize = 512;

/// When a token holds, by its own clock.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    not_before: Option<i64>,
    issued_at: Option<i64>,
    signed_in_at: Option<i64>,
    expires_at: i64,
}

impl Times {
    /// Whether it holds now. What a token promises beyond the longest life that is allowed makes it void from the start.
    pub(crate) fn hold(&self, now: Timestamp, settings: &IssuerSettings) -> bool {
        let (now, leeway) = (now.as_second(), seconds(settings.leeway));
        let lifetime_max = seconds(settings.token_lifetime_max);
        let (soonest, latest) = (now.saturating_sub(leeway), now.saturating_add(leeway));
        let began = self.issued_at.unwrap_or(now);
        self.expires_at > soonest
            && self.expires_at <= latest.saturating_add(lifetime_max)
            && self.expires_at.saturating_sub(began) <= lifetime_max.saturating_add(leeway)
            && self.issued_at.is_none_or(|issued| issued <= latest)
            && self.signed_in_at.is_none_or(|signed_in| signed_in <= latest)
            && self.not_before.is_none_or(|start| start <= latest)
    }
}

/// A claim is there and is not what it must be.
struct Malformed;

/// A claim that may be absent, but may not be anything else than what it should.
fn optional<'a, T>(
    claims: &'a Map<String, Value>,
    name: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    claims.get(name).map(|value| read(value).ok_or(Malformed)).transpose()
}

/// What the claims say, where they are those of an access token for us; `None` where anything about them is not as it must be.
pub(crate) fn read(claims: &Map<String, Value>, settings: &IssuerSettings) -> Option<(ExternalToken, Times)> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let is_ours = text("iss") == Some(settings.issuer.as_str())
        && is_for_us(claims, settings)
        && is_of_our_client(claims, settings)
        && has_our_use(claims, settings);
    let subject =
        text("sub").filter(|subject| (1..=SUBJECT_LENGTH_MAX).contains(&subject.chars().count()))?;
    let times = Times {
        // Whole numbers only: a fraction, 1e308 or a text is no date that all parties read alike.
        expires_at: claims.get("exp")?.as_i64()?,
        not_before: optional(claims, "nbf", Value::as_i64).ok()?,
        issued_at: optional(claims, "iat", Value::as_i64).ok()?,
        signed_in_at: optional(claims, "auth_time", Value::as_i64).ok()?,
    };
    if !is_ours || times.expires_at < 0 {
        return None;
    }
    // Not used here; but it is a text (RFC 8693, 4.2), and who writes another thing writes no access token.
    optional(claims, "scope", Value::as_str).ok()?;
    let expires_at = times.expires_at.checked_add(seconds(settings.leeway))?;
    let began_at = times.signed_in_at.or(times.issued_at).map(Timestamp::from_second).transpose().ok()?;
    let token = ExternalToken {
        issuer: settings.issuer.clone(),
        session_id: session(claims, subject, times)?,
        subject: subject.to_owned(),
        roles: roles(claims, settings)?,
        provider: settings.name.clone(),
        email: text("email").and_then(Email::parse),
        // Cognito writes it as a text in some tokens.
        email_verified: claims.get("email_verified").is_some_and(|value| value == true || value == "true"),
        began_at,
        expires_at: Timestamp::from_second(expires_at).ok()?,
    };
    Some((token, times))
}

fn is_for_us(claims: &Map<String, Value>, settings: &IssuerSettings) -> bool {
    match (claims.get("aud"), &settings.audience) {
        (None, audience) => audience.is_none(),
        (Some(Value::String(one)), Some(audience)) => one == audience,
        (Some(Value::Array(all)), Some(audience)) => {
            all.iter().all(Value::is_string) && all.iter().any(|one| one == audience.as_str())
        }
        // It is for someone, and nobody said that this is us.
        (Some(_), _) => false,
    }
}

fn is_of_our_client(claims: &Map<String, Value>, settings: &IssuerSettings) -> bool {
    let client = claims.get("client_id");
    settings.client_ids.is_empty()
        || client.and_then(Value::as_str).is_some_and(|client| settings.client_ids.contains(client))
}

fn has_our_use(claims: &Map<String, Value>, settings: &IssuerSettings) -> bool {
    match (claims.get("token_use"), &settings.token_use) {
        (found, Some(expected)) => found.is_some_and(|found| found == expected.as_str()),
        (Some(found), None) => found == "access",
        (None, None) => true,
    }
}

/// An account has the roles user, user and clinician, or operator: who runs the service sees nobody's data, whatever other
/// group they are in.
fn roles(claims: &Map<String, Value>, settings: &IssuerSettings) -> Option<BTreeSet<Role>> {
    let claim = settings.roles_claim.as_ref().and_then(|name| claims.get(name));
    let groups: Vec<&str> = match claim {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let mut roles: BTreeSet<Role> =
        groups.into_iter().filter_map(|group| settings.roles.get(group)).copied().collect();
    if roles.contains(&Role::Operator) {
        return Some([Role::Operator].into());
    }
    roles.insert(Role::User);
    Some(roles)
}

/// The session that a token belongs to: the sign-in that its refreshed tokens share, where the issuer names it, or the token
/// itself. The subject is part of it, so that no issuer's slip joins the sessions of two people.
fn session(claims: &Map<String, Value>, subject: &str, times: Times) -> Option<SessionId> {
    let id = |name: &str| {
        optional(claims, name, |value| {
            value.as_str().filter(|id| (1..=TOKEN_ID_LENGTH_MAX).contains(&id.len())).map(str::to_owned)
        })
    };
    let (origin, token) = (id("origin_jti").ok()?, id("jti").ok()?);
    let (kind, id) = match (origin, token) {
        (Some(origin), _) => ("origin_jti", origin),
        (None, Some(token)) => ("jti", token),
        // Refreshed tokens share the time of their sign-in, where it is told.
        (None, None) => match times.signed_in_at {
            Some(at) => ("auth_time", at.to_string()),
            None => ("iat", times.issued_at.unwrap_or(times.expires_at).to_string()),
        },
    };
    let issuer = claims.get("iss")?.as_str()?;
    let mut name = Vec::new();
    for part in [issuer, kind, &id, subject] {
        name.extend((part.len() as u64).to_be_bytes());
        name.extend(part.as_bytes());
    }
    Some(SessionId(Uuid::new_v5(&SESSIONS, &name)))
}

fn seconds(duration: std::time::Duration) -> i64 {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX).as_secs()
}
