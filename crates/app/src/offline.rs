//! Models run over many people at once, offline: each one's newest week is computed anew with the model that is active now.
//!
//! A job goes through its people in the order of their ids and notes how far it came, so that it goes on there when it was
//! killed. Doing a person twice changes nothing: results are functions of the stored readings, and one that is the same is not
//! written again.

use std::collections::BTreeSet;

use bytes::Bytes;
use domain::{
    ids::UserId,
    measures::cohort::{Cohort, CohortError},
    record::Kind,
};
use futures::future::join_all;
use ports::{Error, ErrorKind, ModelIdentity, ObjectKey, PutOptions, objects};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App,
    error::{AppError, Result},
    results::Embedding,
};

/// People that are computed between two notes of how far the job came.
const STRIDE: usize = 16;
/// Tries of one person whose readings change meanwhile.
const ATTEMPTS: u32 = 3;
const PROGRESS_BYTES_MAX: usize = 16 << 20;

/// Which of several equal parts of the people a process takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Shard {
    /// Whether somebody is in it. Ids are spread evenly, and stay where they are as long as the count does.
    pub fn holds(self, user: UserId) -> bool {
        user.0.as_u128() % u128::from(self.count.max(1)) == u128::from(self.index)
    }
}

/// What became of a job, so far or in the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// People who have an embedding by the model now.
    pub assessed: u64,
    /// People whose last week has too little to be assessed, or who have no activity at all.
    pub not_assessed: u64,
    /// People who could not be computed; the same job tries them again.
    pub failed: BTreeSet<UserId>,
    /// The last one that was done.
    after: Option<UserId>,
    /// Who was asked for and which model: a job of the same name for others is another job.
    of: String,
}

impl Progress {
    /// People that are done.
    pub fn done(&self) -> u64 {
        self.assessed + self.not_assessed + self.failed.len() as u64
    }
}

impl App {
    /// Everybody who has a record.
    pub async fn everybody(&self) -> Result<BTreeSet<UserId>> {
        let (mut users, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = self.platform.health_data.partitions(cursor.as_ref(), 1000).await?;
            users.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(users),
            }
        }
    }

    /// Computes the newest week of each of `users` anew, and answers what became of them; `seen` is told how far it came.
    ///
    /// It goes on where a job of this name for the same `order` (who was asked for, in words) and the same model stopped, and tries
    /// those again who failed; `begins_anew` forgets that. 503 while the model cannot be used: a job without one would change
    /// results into "not assessed". A conflict where another version is activated meanwhile: its embeddings cannot be compared.
    pub async fn assess_offline(
        &self,
        (name, order): (&str, &str),
        users: &BTreeSet<UserId>,
        begins_anew: bool,
        mut seen: impl FnMut(&Progress) + Send,
    ) -> Result<Progress> {
        let model = self.pat_ready().await?;
        let of = digest(order, &model);
        let key = ObjectKey::new(format!("offline/{name}.json"))?;
        let mut progress = if begins_anew { None } else { self.kept_progress(&key, &of).await? }
            .unwrap_or_else(|| Progress { of, ..Progress::default() });
        let failed = std::mem::take(&mut progress.failed);
        let is_due =
            |user: &UserId| failed.contains(user) || progress.after.is_none_or(|after| *user > after);
        let due: Vec<UserId> = users.iter().copied().filter(is_due).collect();
        seen(&progress);
        for stride in due.chunks(STRIDE) {
            let outcomes = join_all(stride.iter().map(|user| self.assess(*user))).await;
            if self.pat_ready().await? != model {
                return Err(Error::new(ErrorKind::Conflict, "offline.model").into());
            }
            for (user, outcome) in stride.iter().zip(outcomes) {
                match outcome {
                    Ok(true) => progress.assessed += 1,
                    Ok(false) => progress.not_assessed += 1,
                    Err(error) => {
                        tracing::error!(%error, "somebody could not be assessed");
                        progress.failed.insert(*user);
                    }
                }
                progress.after = progress.after.max(Some(*user));
            }
            let to_come =
                failed.iter().filter(|user| stride.last().is_some_and(|last| *user > last)).copied();
            let note = Progress {
                failed: progress.failed.iter().copied().chain(to_come).collect(),
                ..progress.clone()
            };
            self.note_progress(&key, &note).await?;
            seen(&progress);
        }
        if progress.failed.is_empty() {
            self.platform.objects.delete(&key).await?;
        }
        Ok(progress)
    }

    /// The newest week of each of `users` that was observed well enough for PAT: steps a minute. `seen` is told how many were looked
    /// at.
    pub async fn cohort(&self, users: &BTreeSet<UserId>, mut seen: impl FnMut(u64) + Send) -> Result<Cohort> {
        let (mut cohort, mut done) = (Cohort::default(), 0);
        for user in users {
            if let Some(week) = persist(|| self.newest_week(*user)).await? {
                let minutes: Vec<_> =
                    week.laid_from_monday().into_iter().map(|count| count.map(f64::from)).collect();
                let corrupt =
                    |error: CohortError| Error::new(ErrorKind::Corrupt, "offline.cohort").with_cause(error);
                cohort.add(&minutes).map_err(corrupt)?;
            }
            done += 1;
            seen(done);
        }
        Ok(cohort)
    }

    async fn note_progress(&self, key: &ObjectKey, progress: &Progress) -> Result<()> {
        let note = serde_json::to_vec(progress)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "offline.note").with_cause(error))?;
        self.platform.objects.put(key, objects::once(Bytes::from(note)), PutOptions::default()).await?;
        Ok(())
    }

    /// Whether somebody has an embedding by the active model now.
    async fn assess(&self, user: UserId) -> Result<bool> {
        persist(|| self.compute_window(user)).await?;
        let newest: Option<Embedding> = self.newest(user, Kind::Embedding).await?;
        Ok(newest.is_some_and(|embedding| embedding.embedding.is_some()))
    }

    async fn kept_progress(&self, key: &ObjectKey, of: &str) -> Result<Option<Progress>> {
        let Some(object) = self.platform.objects.get(key, None).await? else { return Ok(None) };
        let bytes = objects::collect(object.body, PROGRESS_BYTES_MAX).await?;
        let kept: Progress = serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "offline.progress").with_cause(error))?;
        Ok(Some(kept).filter(|kept| kept.of == of))
    }
}

/// Tries again where a worker computes the same person, or a store or the model's queue is busy.
async fn persist<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    let mut attempt = 1;
    loop {
        match work().await {
            Err(AppError::Port(error))
                if attempt < ATTEMPTS && (error.is_retryable() || error.kind() == ErrorKind::Conflict) =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// What tells one job from another: who was asked for, and the model. Not who they are: people come and go meanwhile.
fn digest(order: &str, model: &ModelIdentity) -> String {
    let mut hash = Sha256::new();
    for part in [order, &model.name, &model.version, &model.sha256] {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}
