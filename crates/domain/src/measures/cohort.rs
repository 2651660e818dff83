//! What a minute of the week is like over a cohort: the mean and the standard deviation by which the input of PAT is
//! standardised ([`normalise`](super::pat::normalise)).

use super::{opaque_debug, pat::PAT_MINUTES};

/// Running moments of each minute of the week, from Monday 00:00 by people's own clocks (Welford 1962). They take the same
/// memory however many people are added, and hold nobody's values.
pub struct Cohort {
    minutes: Vec<Moments>,
    people: u32,
}

opaque_debug!(Cohort);

#[derive(Clone, Copy, Default)]
struct Moments {
    count: u32,
    mean: f64,
    /// The sum of squared deviations from the mean.
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let change = value - self.mean;
        self.mean += change / f64::from(self.count);
        self.squares += change * (value - self.mean);
    }
}

/// The normalisation of a week.
#[derive(Clone, PartialEq, Debug)]
pub struct Normalisation {
    /// One a minute, in the unit of the values.
    pub mean: Vec<f32>,
    /// Population standard deviation, one a minute, in the unit of the values; each above 0.
    pub standard_deviation: Vec<f32>,
}

/// Why a cohort gives no normalisation.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum CohortError {
    /// A week has another length.
    #[error("a week has {PAT_MINUTES} minutes")]
    NotAWeek,
    /// A value is no count.
    #[error("minute {minute} of the week is not a count of 0 or more")]
    NotACount {
        /// Which one, from 0.
        minute: usize,
    },
    /// Too few people were observed in some minute.
    #[error(
        "{minutes} minutes of the week were observed in fewer than {people_min} people, the first is minute {first} with {people}: \
         a larger cohort is needed"
    )]
    TooFew {
        /// How many minutes.
        minutes: usize,
        /// The first of them.
        first: usize,
        /// Who was observed in that one.
        people: u32,
        /// How many it should have been.
        people_min: u32,
    },
    /// Everybody had the same value in some minute.
    #[error(
        "{minutes} minutes of the week never vary, the first is minute {first}: give a floor above 0, in the unit of the values"
    )]
    Flat {
        /// How many minutes.
        minutes: usize,
        /// The first of them.
        first: usize,
    },
}

impl Default for Cohort {
    fn default() -> Self {
        Self { minutes: vec![Moments::default(); PAT_MINUTES], people: 0 }
    }
}

impl Cohort {
    /// Adds somebody's week of [`PAT_MINUTES`] counts. A missing minute adds nothing, and a week without any is nobody's. After an
    /// error nothing was added.
    pub fn add(&mut self, week: &[Option<f64>]) -> Result<(), CohortError> {
        if week.len() != PAT_MINUTES {
            return Err(CohortError::NotAWeek);
        }
        let is_count = |value: &Option<f64>| value.is_none_or(|value| value.is_finite() && value >= 0.0);
        if let Some(minute) = week.iter().position(|value| !is_count(value)) {
            return Err(CohortError::NotACount { minute });
        }
        for (moments, value) in self.minutes.iter_mut().zip(week) {
            if let Some(value) = value {
                moments.add(*value);
            }
        }
        self.people += u32::from(week.iter().any(Option::is_some));
        Ok(())
    }

    /// Of how many people a week was added.
    pub fn people(&self) -> u32 {
        self.people
    }

    /// The normalisation, where each minute was observed in `people_min` people. No standard deviation is below `floor`.
    pub fn normalisation(&self, people_min: u32, floor: f64) -> Result<Normalisation, CohortError> {
        let needed = people_min.max(1);
        let thin = || self.minutes.iter().enumerate().filter(|(_, moments)| moments.count < needed);
        if let Some((first, moments)) = thin().next() {
            let (minutes, people) = (thin().count(), moments.count);
            return Err(CohortError::TooFew { minutes, first, people, people_min: needed });
        }
        #[expect(clippy::cast_possible_truncation, reason = "the model computes in f32")]
        let vector = |of: &dyn Fn(&Moments) -> f64| self.minutes.iter().map(|one| of(one) as f32).collect();
        let standard_deviation: Vec<f32> =
            vector(&|one| (one.squares / f64::from(one.count)).sqrt().max(floor));
        let flat = || standard_deviation.iter().enumerate().filter(|(_, deviation)| **deviation <= 0.0);
        if let Some((first, _)) = flat().next() {
            return Err(CohortError::Flat { minutes: flat().count(), first });
        }
        Ok(Normalisation { mean: vector(&|one| one.mean), standard_deviation })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cohort(values: &[Option<f64>]) -> Cohort {
        let mut cohort = Cohort::default();
        for value in values {
            cohort.add(&vec![*value; PAT_MINUTES]).unwrap();
        }
        cohort
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn each_minute_has_the_mean_and_deviation_of_those_who_were_observed(
            values in proptest::collection::vec(proptest::option::of(0.0..5000.0_f64), 1..30),
        ) {
            let observed: Vec<f64> = values.iter().copied().flatten().collect();
            let fitted = cohort(&values).normalisation(1, 0.5);
            prop_assert_eq!(fitted.is_ok(), !observed.is_empty());
            if let Ok(fitted) = fitted {
                let count = observed.len() as f64;
                let mean = observed.iter().sum::<f64>() / count;
                let deviation = (observed.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt().max(0.5);
                for minute in [0, PAT_MINUTES - 1] {
                    prop_assert!((f64::from(fitted.mean[minute]) - mean).abs() <= 1e-6 * mean.max(1.0));
                    prop_assert!(
                        (f64::from(fitted.standard_deviation[minute]) - deviation).abs() <= 1e-6 * deviation.max(1.0)
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_cohort_cannot_say_is_not_said() {
        let few = cohort(&[Some(1.0), None, Some(2.0)]);
        assert_eq!(few.people(), 2);
        let refused = CohortError::TooFew { minutes: PAT_MINUTES, first: 0, people: 2, people_min: 3 };
        assert_eq!(few.normalisation(3, 0.0), Err(refused));
        let same = cohort(&[Some(4.0), Some(4.0)]);
        assert_eq!(same.normalisation(2, 0.0), Err(CohortError::Flat { minutes: PAT_MINUTES, first: 0 }));
        assert!(
            same.normalisation(2, 1.0)
                .unwrap()
                .standard_deviation
                .iter()
                .all(|deviation| deviation.to_bits() == 1.0_f32.to_bits())
        );
        assert!(Cohort::default().normalisation(0, 1.0).is_err());
    }

    #[test]
    fn what_is_no_week_of_counts_is_not_added() {
        let mut cohort = cohort(&[Some(1.0)]);
        assert_eq!(cohort.add(&[Some(1.0); 10]), Err(CohortError::NotAWeek));
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            let mut week = vec![Some(9.0); PAT_MINUTES];
            week[5] = Some(wrong);
            assert_eq!(cohort.add(&week), Err(CohortError::NotACount { minute: 5 }));
        }
        assert_eq!(cohort.people(), 1);
        assert_eq!(cohort.normalisation(1, 1.0).unwrap().mean, vec![1.0; PAT_MINUTES]);
    }
}
