//! A fence around the erased: nothing is put into the partition of a user whose erasure has begun, whoever had begun to put it,
//! in whichever process, and however long ago.
//!
//! What is put is put under the condition that there is no mark, or that the timeline is there in a version that was read: it goes
//! in the commit that makes the mark, and nothing can make another.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Partition, RecordKey},
};
use ports::{
    Change, CommitLimits, Cursor, Denial, Error, ErrorKind, HealthDataRepository, Page, Precondition, Query,
    Record, Result, Write,
};

/// How many users one commit is about at most: a consent is about two.
const USERS_MAX: usize = 2;

/// A record store with the fence.
pub(crate) struct Fenced(pub(crate) Arc<dyn HealthDataRepository>);

#[async_trait]
impl HealthDataRepository for Fenced {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.0.get(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        self.0.query(query).await
    }

    async fn commit(&self, mut batch: Vec<Write>) -> Result<()> {
        let first = batch.iter().find_map(owner);
        let users: BTreeSet<UserId> = batch.iter().filter_map(owner).collect();
        for user in &users {
            let mark = RecordKey::erasure(*user);
            // A fence around a fence asks the same, and a key may be in a batch once.
            let is_fenced =
                batch.iter().any(|write| *write.change.key() == mark || replaces_timeline(write, *user));
            if !is_fenced {
                batch.push(Write::check(mark, Precondition::Absent));
            }
        }
        let committed = self.0.commit(batch).await;
        if committed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            for user in users {
                if self.0.get(&RecordKey::erasure(user)).await?.is_some() {
                    // What a batch is about comes first in it: that user's token is void. Somebody else in it is just gone.
                    if Some(user) == first {
                        let error = Error::new(ErrorKind::PermissionDenied, "records.commit");
                        return Err(error.with_cause(Denial::InvalidToken));
                    }
                    return Err(Error::new(ErrorKind::NotFound, "records.commit"));
                }
            }
        }
        committed
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        self.0.partitions(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        let CommitLimits { writes_max, bytes_max } = self.0.limits();
        CommitLimits { writes_max: writes_max - USERS_MAX, bytes_max: bytes_max - USERS_MAX * 128 }
    }
}

/// Whether a write succeeds only where the user's timeline is there, which is as good as the check: an erasure begins by a commit
/// that makes the mark and removes the timeline, and no other begins until the check lets it, so none comes back. That saves most
/// commits a write, for what is checked costs as much as what is written.
fn replaces_timeline(write: &Write, user: UserId) -> bool {
    let is_replaced = matches!(write.precondition, Precondition::VersionEquals(_));
    is_replaced && *write.change.key() == RecordKey::timeline(user)
}

/// Whose partition a write puts something into.
fn owner(write: &Write) -> Option<UserId> {
    match (&write.change, write.change.key().partition) {
        (Change::Put(_), Partition::User(user)) => Some(user),
        _ => None,
    }
}
