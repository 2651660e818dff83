//! A week of steps per minute as the input of the Pretrained Actigraphy Transformer (PAT, arXiv 2411.15240).

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{activity::MinuteSeries, opaque_debug};
use crate::time::{day_interval, local_date, timestamp};

/// How many local days PAT looks at.
pub const PAT_DAYS: usize = 7;
/// How many minutes PAT looks at: seven local days of 1440 minutes.
pub const PAT_MINUTES: usize = PAT_DAYS * MINUTES_PER_DAY;

const MINUTES_PER_DAY: usize = 1440;

/// A week as PAT sees it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PatWeek {
    /// [`PAT_MINUTES`] counts, the first at local midnight; `None` is a missing minute.
    pub minutes: Vec<Option<f32>>,
    /// How many of them were observed.
    pub observed: u32,
}

opaque_debug!(PatWeek);

/// Why there is no input for PAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatInputError {
    /// The series does not begin and end at the local midnights of seven successive days.
    #[error("the series is not seven whole local days")]
    NotAWeek,
    /// The lengths of minutes, means and standard deviations differ.
    #[error("minutes, means and standard deviations differ in length")]
    LengthsDiffer,
    /// A mean is not finite, or a standard deviation is not finite and greater than 0.
    #[error("the normalisation is not finite, or a standard deviation is not above 0")]
    InvalidNormalisation,
}

/// Lays a series of seven whole local days out as 7 x 1440 local minutes of day.
///
/// An hour that the clock skipped is missing; of an hour that it repeated, each minute is the mean of what was observed.
pub fn pat_week(series: &MinuteSeries, zone: &TimeZone) -> Result<PatWeek, PatInputError> {
    let first = local_date(series.start_ms, zone);
    let mut date = first;
    for _ in 1..PAT_DAYS {
        date = date.tomorrow().or(Err(PatInputError::NotAWeek))?;
    }
    let end_ms = series.minute_start_ms(series.values.len());
    if day_interval(first, zone).start_ms() != series.start_ms || day_interval(date, zone).end_ms() != end_ms
    {
        return Err(PatInputError::NotAWeek);
    }
    let mut sums = vec![(0_u32, 0.0_f64); PAT_MINUTES];
    let (mut date, mut day) = (first, 0);
    for (index, value) in series.values.iter().enumerate() {
        let local = zone.to_datetime(timestamp(series.minute_start_ms(index)));
        if local.date() != date {
            date = local.date();
            day += 1;
        }
        let minute =
            usize::from(local.hour().unsigned_abs()) * 60 + usize::from(local.minute().unsigned_abs());
        if let (Some(value), Some((count, sum))) = (value, sums.get_mut(day * MINUTES_PER_DAY + minute)) {
            *count += 1;
            *sum += value;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "the model computes in f32")]
    let minutes: Vec<Option<f32>> =
        sums.into_iter().map(|(count, sum)| (count > 0).then(|| (sum / f64::from(count)) as f32)).collect();
    let observed = super::count(minutes.iter().flatten().count());
    Ok(PatWeek { minutes, observed })
}

/// Standardises each minute with its own mean and standard deviation of the training cohort: `(x - mean) / sd`.
///
/// **Missing-data rule.** A missing minute becomes 0, which is the cohort's mean of that minute and not a count of 0: the
/// value that says least. The caller reports the coverage and refuses weeks below its threshold.
pub fn normalise(minutes: &[Option<f32>], mean: &[f32], sd: &[f32]) -> Result<Vec<f32>, PatInputError> {
    if minutes.len() != mean.len() || minutes.len() != sd.len() {
        return Err(PatInputError::LengthsDiffer);
    }
    if mean.iter().any(|mean| !mean.is_finite()) || sd.iter().any(|sd| !sd.is_finite() || *sd <= 0.0) {
        return Err(PatInputError::InvalidNormalisation);
    }
    let standardise =
        |((value, mean), sd): ((&Option<f32>, &f32), &f32)| value.map_or(0.0, |value| (value - mean) / sd);
    Ok(minutes.iter().zip(mean).zip(sd).map(standardise).collect())
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;
    use crate::time::ZoneName;

    fn week(zone: &TimeZone, first: Date, minutes: usize) -> MinuteSeries {
        MinuteSeries {
            start_ms: day_interval(first, zone).start_ms(),
            values: (0..minutes).map(|minute| (minute % 3 != 0).then_some(minute as f64)).collect(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn a_usual_week_is_taken_minute_by_minute() {
        let series = week(&TimeZone::UTC, Date::constant(2026, 6, 1), PAT_MINUTES);
        let week = pat_week(&series, &TimeZone::UTC).unwrap();
        assert_eq!(week.observed, 6720);
        assert_eq!(week.minutes.len(), PAT_MINUTES);
        assert_eq!(week.minutes[..3], [None, Some(1.0), Some(2.0)]);
        assert_eq!(week.minutes[10_078], Some(10_078.0));
    }

    #[test]
    fn weeks_in_which_the_clock_changes_keep_each_minute_at_its_local_time() {
        let berlin = ZoneName::new("Europe/Berlin").unwrap().rules();
        // Sunday 29 March 2026 skips 02:00 to 03:00; it is the last day of the week.
        let spring =
            pat_week(&week(&berlin, Date::constant(2026, 3, 23), PAT_MINUTES - 60), &berlin).unwrap();
        let sunday = 6 * 1440;
        assert_eq!(spring.minutes[sunday + 119], Some(f32::from(8759_u16)));
        assert_eq!(spring.minutes[sunday + 120..sunday + 180], [None; 60]);
        assert_eq!(spring.minutes[sunday + 181], Some(f32::from(8761_u16)));
        // Sunday 25 October 2026 has 02:00 to 03:00 twice.
        let autumn =
            pat_week(&week(&berlin, Date::constant(2026, 10, 19), PAT_MINUTES + 60), &berlin).unwrap();
        assert_eq!(autumn.minutes.len(), PAT_MINUTES);
        assert_eq!(autumn.minutes[sunday + 121], Some(f32::midpoint(8761.0, 8821.0)));
    }

    #[test]
    fn what_is_not_seven_local_days_is_refused() {
        let monday = Date::constant(2026, 6, 1);
        for minutes in [0, PAT_MINUTES - 1, PAT_MINUTES + 1440] {
            let series = week(&TimeZone::UTC, monday, minutes);
            assert_eq!(pat_week(&series, &TimeZone::UTC), Err(PatInputError::NotAWeek));
        }
        let berlin = ZoneName::new("Europe/Berlin").unwrap().rules();
        assert_eq!(
            pat_week(&week(&TimeZone::UTC, monday, PAT_MINUTES), &berlin),
            Err(PatInputError::NotAWeek)
        );
    }

    #[test]
    fn missing_minutes_become_the_mean_of_the_cohort() {
        let (mean, sd) = ([2.0, 2.0, 5.0], [4.0, 4.0, 0.5]);
        assert_eq!(normalise(&[Some(10.0), None, Some(5.0)], &mean, &sd), Ok(vec![2.0, 0.0, 0.0]));
        assert_eq!(normalise(&[None], &mean, &sd), Err(PatInputError::LengthsDiffer));
        for sd in [0.0, -1.0, f32::NAN] {
            assert_eq!(normalise(&[None], &[0.0], &[sd]), Err(PatInputError::InvalidNormalisation));
        }
    }
}
