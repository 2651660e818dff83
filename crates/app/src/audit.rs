//! The audit trail: one record for every read and change of health data.

use domain::{
    ids::{AuditId, UserId},
    record::RecordKey,
};
use jiff::Timestamp;
use ports::{Result, Write};
use serde::{Deserialize, Serialize};

use crate::{platform::Platform, records::encode};

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
    /// The user of the verified token: the same, or a clinician to whom that user consented.
    pub actor: UserId,
    /// The request's id.
    pub request_id: String,
    /// The W3C `traceparent` of the request.
    pub traceparent: Option<String>,
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
