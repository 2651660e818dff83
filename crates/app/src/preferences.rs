//! What a person prefers: whose readings win where several devices tell of the same time.

use domain::{ids::UserId, measures::merge::SourcePriority, record::RecordKey};
use jiff::civil::Date;
use ports::{Error, ErrorKind, Write};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::{Action, Caller},
    days::DayRanges,
    error::Result,
    process::DueDays,
    records::{Timeline, encode, get, replace},
};

/// As they are kept.
#[derive(Default, Serialize, Deserialize)]
struct Preferences {
    #[serde(default)]
    source_priority: SourcePriority,
}

impl App {
    /// Whose readings win; where the user said nothing, the default order.
    pub(crate) async fn source_priority(&self, user: UserId) -> Result<SourcePriority> {
        let stored = get::<Preferences>(&*self.platform.health_data, &RecordKey::preferences(user)).await?;
        Ok(stored.map(|stored| stored.body.source_priority).unwrap_or_default())
    }

    /// The caller's own order.
    pub async fn priority(&self, caller: &Caller) -> Result<SourcePriority> {
        self.platform.audit_read(caller, "source_priority").await?;
        self.source_priority(caller.user_id).await
    }

    /// Sets the caller's order, and has all days computed by it.
    pub async fn set_priority(&self, caller: &Caller, priority: SourcePriority) -> Result<()> {
        let (user, store) = (caller.user_id, &*self.platform.health_data);
        let key = RecordKey::preferences(user);
        for _ in 0..self.settings.commit_attempts_max {
            let stored = get::<Preferences>(store, &key).await?;
            let body = encode(&Preferences { source_priority: priority.clone() })?;
            let write = match &stored {
                Some(stored) if stored.body.source_priority == priority => return Ok(()),
                Some(stored) => replace(key.clone(), stored.version, body),
                None => Write::insert(key.clone(), body),
            };
            let mut writes =
                vec![write, self.platform.audit(caller, Action::Change, "source_priority".to_owned())?];
            let mut days = DayRanges::default();
            for day in Timeline::read(store, user).await?.held.values().flat_map(DayRanges::iter) {
                // The local day may be the one before or after.
                for near in
                    [day.yesterday(), Ok::<Date, jiff::Error>(day), day.tomorrow()].into_iter().flatten()
                {
                    days.insert(near);
                }
            }
            let due = DueDays { days, ..DueDays::default() };
            let intent = if due.is_empty() { None } else { Some(self.due(user, &due, &mut writes)?) };
            match store.commit(writes).await {
                Ok(()) => {
                    if let Some(intent) = intent {
                        self.relay.nudge(intent);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "preferences.set").into())
    }
}
