//! Dead letters, and the removal of a key's messages. SQS finds no message by what it says, so these read a queue to its end,
//! hold what they read for as long as that takes, and give back what is not theirs.

use std::{collections::BTreeSet, time::Duration};

use ports::{Cursor, DeadLetter, Error, ErrorKind, MessageId, Page, Result};

use super::{
    SqsJobQueue,
    parcel::{Delivery, Parcel},
    queue::Queue,
};

/// How long a sweep holds what it reads; it gives it back when it ends.
const HOLD: Duration = Duration::from_mins(1);

/// A short poll asks only some of SQS's servers, a long one all.
const POLL: Duration = Duration::from_secs(1);

/// What a cursor of ours begins with; the rest is the id of the last letter that was shown.
const AFTER: &str = "after:";

/// The reason of a letter that SQS itself moved.
const NO_REASON: &str = "the queue delivered it too often";

impl SqsJobQueue {
    pub(super) async fn list_dead(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        const OPERATION: &str = "jobs.dead_letters";
        let invalid = || Error::new(ErrorKind::InvalidInput, OPERATION);
        if !(1..=1000).contains(&limit) {
            return Err(invalid().with_cause("a page has 1 to 1000 letters"));
        }
        let behind = match cursor {
            None => "",
            Some(Cursor(text)) => {
                text.strip_prefix(AFTER).ok_or_else(|| invalid().with_cause("not a cursor"))?
            }
        };
        let held = sweep(&self.dead, OPERATION).await?;
        give_back(&self.dead, OPERATION, &held).await?;
        let mut letters: Vec<DeadLetter> = held.into_iter().map(letter).collect();
        letters.retain(|letter| letter.id.0.as_str() > behind);
        letters.sort_by(|a, b| a.id.0.cmp(&b.id.0));
        let is_more = letters.len() > limit;
        letters.truncate(limit);
        let last = letters.last().filter(|_| is_more);
        let next = last.map(|letter| Cursor(format!("{AFTER}{}", letter.id.0)));
        Ok(Page { items: letters, next })
    }

    pub(super) async fn redrive_dead(&self, ids: &[MessageId]) -> Result<u64> {
        const OPERATION: &str = "jobs.redrive";
        let wanted: BTreeSet<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        if wanted.is_empty() {
            return Ok(0);
        }
        let held = sweep(&self.dead, OPERATION).await?;
        let (chosen, others): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|delivery| wanted.contains(delivery.parcel.id.as_str()));
        give_back(&self.dead, OPERATION, &others).await?;
        let mut count = 0;
        for Delivery { handle, parcel, .. } in chosen {
            let queued_as = self.ids.next();
            let again = Parcel { queued_as, not_before: None, reason: None, delivery_count: 0, ..parcel };
            let group = again.ordering_key.as_ref().unwrap_or(&again.id);
            self.live.send(OPERATION, &again, group, &queued_as.to_string()).await?;
            self.dead.delete(OPERATION, &handle).await?;
            count += 1;
        }
        Ok(count)
    }

    pub(super) async fn purge_both(&self, ordering_key: &str) -> Result<u64> {
        const OPERATION: &str = "jobs.purge";
        let is_theirs = |delivery: &Delivery| delivery.parcel.ordering_key.as_deref() == Some(ordering_key);
        let mut count = 0;
        for queue in [&self.live, &self.dead] {
            let mut others = Vec::new();
            loop {
                let read = receive(queue, OPERATION).await?;
                if read.is_empty() {
                    break;
                }
                // At once, as SQS shows the rest of a group only when what it has shown is gone.
                for delivery in read {
                    if is_theirs(&delivery) {
                        queue.delete(OPERATION, &delivery.handle).await?;
                        count += 1;
                    } else {
                        others.push(delivery);
                    }
                }
            }
            give_back(queue, OPERATION, &others).await?;
        }
        Ok(count)
    }
}

/// All that `queue` hands out.
async fn sweep(queue: &Queue, operation: &'static str) -> Result<Vec<Delivery>> {
    let mut held = Vec::new();
    loop {
        let read = receive(queue, operation).await?;
        if read.is_empty() {
            return Ok(held);
        }
        held.extend(read);
    }
}

async fn receive(queue: &Queue, operation: &'static str) -> Result<Vec<Delivery>> {
    queue.receive(operation, 10, POLL, HOLD).await
}

/// Shows `held` to others again.
async fn give_back(queue: &Queue, operation: &'static str, held: &[Delivery]) -> Result<()> {
    for delivery in held {
        queue.hide(operation, &delivery.handle, Duration::ZERO).await?;
    }
    Ok(())
}

fn letter(Delivery { parcel, .. }: Delivery) -> DeadLetter {
    DeadLetter {
        body: parcel.body(),
        id: MessageId(parcel.id),
        reason: parcel.reason.unwrap_or_else(|| NO_REASON.to_owned()),
        delivery_count: parcel.delivery_count,
    }
}
