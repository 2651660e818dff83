//! Consents: a user lets a clinician see their data, for a while and as far as they say.
//!
//! A consent is two records, one in each partition, written in one commit. What a clinician may see is decided by the user's
//! own record, at each request; the clinician's copy is only a list.

use std::collections::BTreeSet;

use domain::{
    ids::{ConsentId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
};
use jiff::{SignedDuration, Timestamp};
use ports::{Cursor, Email, Error, ErrorKind, Page, Precondition, Profile, Query, Role, Version, Write};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    records::{Stored, decode, encode, query_all, replace},
};

/// How long a consent lasts that does not say so.
const LASTS: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A consent is given anew each year at least.
const LASTS_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The most consents of one user, ended ones included.
const CONSENTS_MAX: usize = 1000;

/// What of a user's data a consent is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Days, nights and rhythms.
    Metrics,
    /// Single readings.
    Readings,
    /// Insights.
    Insights,
}

impl Scope {
    /// Everything.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Readings, Self::Insights];
}

/// A consent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Its id.
    pub id: ConsentId,
    /// Who may see.
    pub clinician_id: UserId,
    /// Their address, where the user named them by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clinician_email: Option<String>,
    /// What.
    pub scope: BTreeSet<Scope>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When the user ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl Consent {
    fn allows(&self, scope: Scope, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && self.scope.contains(&scope)
    }
}

/// The clinician's copy of a consent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// Who consented.
    pub user_id: UserId,
    /// By which consent.
    pub consent_id: ConsentId,
    /// To what.
    pub scope: BTreeSet<Scope>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When the user ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// Who is let in.
pub enum Whom {
    /// The clinician with this address.
    Email(Email),
    /// The clinician with this id.
    Id(UserId),
}

/// How far, and for how long.
#[derive(Default)]
pub struct Terms {
    /// Until when; `LASTS` from now where it is not said.
    pub expires_at: Option<Timestamp>,
    /// To what; to everything where it is not said.
    pub scope: Option<BTreeSet<Scope>>,
}

impl App {
    /// Lets a clinician in.
    pub async fn grant(
        &self,
        caller: &Caller,
        whom: Whom,
        terms: Terms,
        once: Option<&Once<'_, Consent>>,
    ) -> Result<Outcome<Consent>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let now = self.platform.clock.now();
        let (expires_at, scope) = self.checked(terms)?;
        let clinician_email = match &whom {
            Whom::Email(email) => Some(email.expose().to_owned()),
            Whom::Id(_) => None,
        };
        let clinician_id = self.clinician(caller.user_id, whom).await?;
        if self.consents(caller).await?.len() >= CONSENTS_MAX {
            let message = format!("there are {CONSENTS_MAX} consents already; change one of them");
            return Err(AppError::Parameter { name: "", message });
        }
        let id = ConsentId(self.platform.ids.next());
        let consent = Consent {
            id,
            clinician_id,
            clinician_email,
            scope,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let writes = vec![
            Write::insert(RecordKey::consent(caller.user_id, clinician_id, id), encode(&consent)?),
            patient(caller.user_id, &consent)?,
            self.platform.audit(caller, Action::GrantConsent, format!("consent/{id}"))?,
        ];
        self.commit_once(writes, once, consent).await
    }

    /// The clinician that `whom` names. Who is unknown, no clinician, barred or the user is all the same to others.
    async fn clinician(&self, user: UserId, whom: Whom) -> Result<UserId> {
        let (name, profile) = match whom {
            Whom::Email(email) => ("/clinician_email", self.platform.identity.find(&email).await?),
            Whom::Id(id) => ("/clinician_id", self.platform.identity.profile(id).await?),
        };
        let is_clinician = |profile: &Profile| {
            profile.roles.contains(&Role::Clinician) && !profile.disabled && profile.user_id != user
        };
        profile
            .filter(is_clinician)
            .map(|profile| profile.user_id)
            .ok_or_else(|| AppError::Parameter { name, message: "names no clinician".to_owned() })
    }

    fn checked(&self, terms: Terms) -> Result<(Timestamp, BTreeSet<Scope>)> {
        let fault = |name, message: &str| AppError::Parameter { name, message: message.to_owned() };
        let now = self.platform.clock.now();
        let after = |duration| now.saturating_add(duration).unwrap_or(Timestamp::MAX);
        let expires_at = terms.expires_at.unwrap_or_else(|| after(LASTS));
        if expires_at <= now || expires_at > after(LASTS_MAX) {
            return Err(fault("/expires_at", "later than now, and at most a year ahead"));
        }
        let scope = terms.scope.unwrap_or_else(|| BTreeSet::from(Scope::ALL));
        if scope.is_empty() {
            return Err(fault("/scope", "at least one of metrics, readings and insights"));
        }
        Ok((expires_at, scope))
    }

    /// The caller's consents, ended ones included.
    pub async fn consents(&self, caller: &Caller) -> Result<Vec<Stored<Consent>>> {
        let partition = Partition::User(caller.user_id);
        let store = &*self.platform.health_data;
        let records = query_all(store, partition, Kind::Consent, SortRange::all()).await?;
        let stored = |record| Ok(Stored { body: decode(record)?, version: record.version });
        let mut consents: Vec<Stored<Consent>> = records.iter().map(stored).collect::<ports::Result<_>>()?;
        consents.sort_by_key(|stored| std::cmp::Reverse((stored.body.created_at, stored.body.id)));
        Ok(consents)
    }

    /// A consent of the caller's.
    pub async fn consent(&self, caller: &Caller, id: ConsentId) -> Result<Stored<Consent>> {
        let consents = self.consents(caller).await?;
        consents.into_iter().find(|stored| stored.body.id == id).ok_or(AppError::NotFound)
    }

    /// Changes a consent that has a version which the caller expects.
    pub async fn change_consent(
        &self,
        caller: &Caller,
        id: ConsentId,
        terms: Terms,
        is_expected: &(dyn Fn(Version) -> bool + Send + Sync),
    ) -> Result<Stored<Consent>> {
        // Before the condition, which counts only for a request that is right in itself.
        let (expires_at, scope) = self.checked(terms)?;
        let Stored { body: mut consent, version } = self.consent(caller, id).await?;
        if !is_expected(version) {
            return Err(AppError::Stale);
        }
        if consent.revoked_at.is_some() {
            return Err(Error::new(ErrorKind::Conflict, "consent.change").into());
        }
        (consent.expires_at, consent.scope) = (expires_at, scope);
        let writes = vec![
            replace_consent(caller, version, &consent)?,
            patient(caller.user_id, &consent)?,
            self.platform.audit(caller, Action::ChangeConsent, format!("consent/{id}"))?,
        ];
        match self.platform.health_data.commit(writes).await {
            Ok(()) => Ok(Stored { body: consent, version: version.next() }),
            Err(error) if error.kind() == ErrorKind::Conflict => Err(AppError::Stale),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a consent. When this returns, its clinician is refused.
    pub async fn revoke(&self, caller: &Caller, id: ConsentId) -> Result<Stored<Consent>> {
        for _ in 0..self.settings.commit_attempts_max {
            let Stored { body: mut consent, version } = self.consent(caller, id).await?;
            if consent.revoked_at.is_some() {
                return Ok(Stored { body: consent, version });
            }
            consent.revoked_at = Some(self.platform.clock.now());
            let writes = vec![
                replace_consent(caller, version, &consent)?,
                patient(caller.user_id, &consent)?,
                self.platform.audit(caller, Action::RevokeConsent, format!("consent/{id}"))?,
            ];
            match self.platform.health_data.commit(writes).await {
                Ok(()) => return Ok(Stored { body: consent, version: version.next() }),
                // It was changed in the meantime: that ends as well.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "consent.revoke").into())
    }

    /// The caller for reading `user`'s data: a user reads their own, a clinician what was consented to now. Without that it is
    /// the same whether or not there is such a user.
    pub async fn caller_for(&self, caller: &Caller, user: UserId, scope: Scope) -> Result<Caller> {
        if user == caller.actor {
            return Ok(caller.clone());
        }
        let range = RecordKey::consents_to(caller.actor);
        let records =
            query_all(&*self.platform.health_data, Partition::User(user), Kind::Consent, range).await?;
        let now = self.platform.clock.now();
        if self.is_erased(user).await? {
            return Err(AppError::ForeignUser);
        }
        for record in &records {
            if decode::<Consent>(record)?.allows(scope, now) {
                return Ok(Caller { user_id: user, ..caller.clone() });
            }
        }
        Err(AppError::ForeignUser)
    }

    /// Those who consented to the caller, by their ids.
    pub async fn patients(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Patient>> {
        let query = Query {
            cursor,
            limit,
            ..Query::new(Partition::User(caller.user_id), Kind::Patient, SortRange::all())
        };
        let page = self.platform.health_data.query(&query).await?;
        let mut items = page.items.iter().map(decode).collect::<ports::Result<Vec<Patient>>>()?;
        let now = self.platform.clock.now();
        items.retain(|patient| patient.revoked_at.is_none() && now < patient.expires_at);
        Ok(Page { items, next: page.next })
    }
}

fn replace_consent(caller: &Caller, read: Version, consent: &Consent) -> Result<Write> {
    let key = RecordKey::consent(caller.user_id, consent.clinician_id, consent.id);
    Ok(replace(key, read, encode(consent)?))
}

/// The write of the clinician's copy. It stays when the consent ends, or the clinician's erasure would not find the consent.
fn patient(user: UserId, consent: &Consent) -> Result<Write> {
    let copy = Patient {
        user_id: user,
        consent_id: consent.id,
        scope: consent.scope.clone(),
        created_at: consent.created_at,
        expires_at: consent.expires_at,
        revoked_at: consent.revoked_at,
    };
    let key = RecordKey::patient(consent.clinician_id, user, consent.id);
    Ok(Write::put(key, Version::FIRST, encode(&copy)?, Precondition::None))
}
