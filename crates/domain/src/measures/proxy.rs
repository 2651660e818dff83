//! **Experimental.** Steps in the place of accelerometer counts.
//!
//! A phone tells steps, not movement: who sits and works looks asleep. So what is computed from this is out of the range of
//! every model and scorer that was fitted to an accelerometer, and every result of it says so by [`ProxyActigraphy::method`].
//! Nothing is drawn by chance: the same steps give the same proxy, bit for bit.

use serde::{Deserialize, Serialize};

use super::{
    activity::MinuteSeries,
    opaque_debug,
    pat::{PatInputError, PatWeek, normalise},
};

/// How a proxy is made of steps, and what it is worth.
pub const PROXY_METHOD: &str = "experimental: square root of steps per minute (variance-stabilising transformation of counts, \
                                Bartlett 1936), not validated against an accelerometer";

/// Steps per minute, transformed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyActigraphy {
    /// One value a minute, in `sqrt({steps}/min)`; `None` is a missing minute.
    pub minutes: Vec<Option<f64>>,
    /// How many minutes were observed.
    pub observed: u32,
    /// [`PROXY_METHOD`].
    pub method: String,
    /// Always true.
    pub is_experimental: bool,
}

opaque_debug!(ProxyActigraphy);

/// The proxy of a series of steps per minute: `sqrt(steps)`.
///
/// **Missing data.** A missing minute stays missing; which minutes were observed is [`activity`](super::activity)'s rule.
pub fn proxy_actigraphy(series: &MinuteSeries) -> ProxyActigraphy {
    let minutes: Vec<Option<f64>> =
        series.values.iter().map(|steps| steps.filter(|steps| *steps >= 0.0).map(f64::sqrt)).collect();
    ProxyActigraphy {
        observed: super::count(minutes.iter().flatten().count()),
        minutes,
        method: PROXY_METHOD.to_owned(),
        is_experimental: true,
    }
}

/// The proxy of a week as the input of PAT, standardised by a cohort's means and standard deviations **of the same proxy**,
/// as [`normalise`] does.
pub fn proxy_pat_input(week: &PatWeek, mean: &[f32], sd: &[f32]) -> Result<Vec<f32>, PatInputError> {
    let proxy: Vec<Option<f32>> = week.minutes.iter().map(|steps| steps.map(f32::sqrt)).collect();
    normalise(&proxy, mean, sd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_the_root_of_the_steps_and_says_what_it_is() {
        let values = vec![Some(0.0), None, Some(100.0), Some(2.0)];
        let found = proxy_actigraphy(&MinuteSeries { start_ms: 0, values, sources: Vec::new() });
        assert_eq!(found.minutes, [Some(0.0), None, Some(10.0), Some(2.0_f64.sqrt())]);
        assert_eq!((found.observed, found.is_experimental), (3, true));
        assert!(found.method.starts_with("experimental"));
    }

    #[test]
    fn a_week_is_standardised_after_the_transformation() {
        let week = PatWeek { minutes: vec![Some(100.0), None], observed: 1 };
        assert_eq!(proxy_pat_input(&week, &[4.0, 1.0], &[2.0, 1.0]), Ok(vec![3.0, 0.0]));
        assert_eq!(proxy_pat_input(&week, &[4.0], &[2.0]), Err(PatInputError::LengthsDiffer));
    }
}
