//! The audit trail: one record for every read and change of health data.

use domain::{
    ids::{AuditId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
};
use jiff::Timestamp;
use ports::{Cursor, Direction, Page, Query, Record, Result, Write};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    error::Result as AppResult,
    platform::Platform,
    records::{corrupt, decode, encode},
};

/// Who acts at the machine, with the command line: an operator, of whom no account tells.
pub const OPERATOR: UserId = UserId(uuid::Uuid::nil());

/// What was done to health data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Stored.
    Upload,
    /// Read.
    Read,
    /// Deleted.
    Delete,
    /// Computed from, on request.
    Analyse,
    /// Read as a whole, to be taken along.
    Export,
    /// Set, as a preference is.
    Change,
    /// A clinician was let in.
    GrantConsent,
    /// For how long, or to what, was changed.
    ChangeConsent,
    /// A clinician was shut out.
    RevokeConsent,
}

/// One entry. Holds no health value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: UserId,
    /// What was done.
    pub action: Action,
    /// To what, such as `health_data` or `upload/<id>`.
    pub resource: String,
    /// The request it was done by.
    pub request_id: String,
}

/// Who asks, and in which request: what the audit trail needs to know of a caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose data it is about.
    pub user_id: UserId,
    /// The user of the verified token: the same, or a clinician to whom that user consented; or [`OPERATOR`].
    pub actor: UserId,
    /// The request's id.
    pub request_id: String,
    /// The W3C `traceparent` of the request.
    pub traceparent: Option<String>,
}

/// A page of the trail, newest first.
pub type Trail = Page<(AuditId, Entry)>;

impl App {
    /// The caller's trail: everything that was done to their data, and by whom. Reading it is not in it.
    pub async fn audit_trail(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> AppResult<Trail> {
        let query = Query {
            direction: Direction::Descending,
            cursor,
            limit,
            ..Query::new(Partition::User(caller.user_id), Kind::Audit, SortRange::all())
        };
        let page = self.platform.health_data.query(&query).await?;
        let entry = |record: &Record| {
            let id = record.key.sort.as_str().parse();
            let id = id.map_err(|error: uuid::Error| corrupt(&record.key, &error))?;
            Ok((id, decode(record)?))
        };
        let items = page.items.iter().map(entry).collect::<Result<_>>()?;
        Ok(Page { items, next: page.next })
    }
}

impl Platform {
    /// The write of an entry, for the commit of the change it tells of.
    pub(crate) fn audit(&self, caller: &Caller, action: Action, resource: String) -> Result<Write> {
        let entry = Entry {
            at: self.clock.now(),
            actor: caller.actor,
            action,
            resource,
            request_id: caller.request_id.clone(),
        };
        Ok(Write::insert(RecordKey::audit(caller.user_id, AuditId(self.ids.next())), encode(&entry)?))
    }

    /// Records a read. It is committed before the data is answered: what cannot be audited is not shown.
    pub(crate) async fn audit_read(&self, caller: &Caller, resource: impl Into<String>) -> Result<()> {
        let write = self.audit(caller, Action::Read, resource.into())?;
        self.health_data.commit(vec![write]).await
    }
}
