//! What the configured rules say of somebody's nights. Screening, not a diagnosis; off unless rules are configured.

use domain::{
    ids::UserId,
    measures::{
        daily::Daily,
        screening::{Finding, inputs, nights_of, screen},
    },
    record::Kind,
    sleep::Night,
};
use jiff::{ToSpan, civil::Date};

use crate::{App, error::Result, results::DayRange};

impl App {
    /// Applies the rules to the nights that end on `last` and before; nothing where there are no rules.
    pub(crate) async fn screened(&self, user: UserId, last: Date) -> Result<Vec<Finding>> {
        let rules = &self.settings.screening;
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let back = i64::from(nights_of(rules)) - 1;
        let first = last.checked_sub(back.days()).unwrap_or(last);
        let range = DayRange { first: Some(first), last: Some(last) };
        let nights: Vec<Night> = self.of_days(user, Kind::Sleep, range).await?;
        let days: Vec<Daily> = self.of_days(user, Kind::Daily, range).await?;
        Ok(screen(rules, &inputs(rules, last, &nights, &days)))
    }
}
