//! From a model's logits to probabilities, a grade and a decision.

use serde::{Deserialize, Serialize};

use crate::{
    RuleError,
    rules::{read, within},
};

/// Grades of the scale, 0 to 4.
pub const GRADES: usize = 5;
/// The first grade that is to be seen by an ophthalmologist.
const REFERABLE_FROM: usize = 2;

const PART: &str = "calibration";

/// When nothing is decided.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abstain {
    /// From this referable probability on, up to `high`, it is neither referable nor not.
    pub low: f64,
    /// The end of the band.
    pub high: f64,
    /// Above this entropy of the five probabilities, in bits (at most log2 5 = 2.32), nothing is decided.
    pub entropy_bits_max: f64,
}

/// How a model's logits become probabilities, and what they decide: a manifest's `calibration`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// `temperature` (Guo et al. 2017, arXiv 1706.04599), the only method there is.
    pub method: String,
    /// What the logits are divided by; 1 leaves them as they are.
    pub temperature: f64,
    /// On what the temperature was fitted.
    pub fitted_on: String,
    /// The referable probability from which on an eye is referable.
    pub referable_threshold: f64,
    /// When nothing is decided.
    pub abstain: Abstain,
}

/// What follows from the probabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// An ophthalmologist should see the eye.
    Referable,
    /// The model sees no reason for that.
    NotReferable,
    /// The model does not know: a person has to look.
    Abstained,
}

/// Whether an ophthalmologist should see the eye (grade 2 and above).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Referable {
    /// The probabilities of the grades 2 to 4 together.
    pub probability: f64,
    /// From which on it counts.
    pub threshold: f64,
    /// How the probability was calibrated, and on what.
    pub calibration: String,
}

/// What a model says of an eye. Screening support, not a diagnosis.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Grading {
    /// Of the grades 0 to 4; they add up to 1.
    pub probabilities: [f64; GRADES],
    /// The most probable grade; the higher one of equals.
    pub grade: u8,
    /// Whether an ophthalmologist should see the eye.
    pub referable: Referable,
    /// Entropy of the probabilities, in bits: 0 where the model is sure, 2.32 where it knows nothing.
    pub entropy_bits: f64,
    /// What follows.
    pub decision: Decision,
}

impl Calibration {
    /// Reads and checks a manifest's `calibration`.
    ///
    /// # Errors
    /// What is missing, unknown or out of range.
    pub fn read(value: &serde_json::Value) -> Result<Self, RuleError> {
        let rules: Self = read(PART, value)?;
        if rules.method != "temperature" {
            return Err(RuleError::new(PART, format!("the method {:?} is not known", rules.method)));
        }
        within(PART, "temperature", rules.temperature, (0.01, 100.0))?;
        within(PART, "referable_threshold", rules.referable_threshold, (0.0, 1.0))?;
        let Abstain { low, high, entropy_bits_max } = rules.abstain;
        within(PART, "abstain.low", low, (0.0, high))?;
        within(PART, "abstain.high", high, (low, 1.0))?;
        within(PART, "abstain.entropy_bits_max", entropy_bits_max, (0.0, (GRADES as f64).log2()))?;
        Ok(rules)
    }

    /// What five logits mean; `None` where they are not five finite numbers.
    pub fn grade(&self, logits: &[f32]) -> Option<Grading> {
        let logits: [f32; GRADES] = logits.try_into().ok()?;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let probabilities = softmax(logits.map(|logit| f64::from(logit) / self.temperature));
        let mut grade = 0_u8;
        for (candidate, probability) in (0_u8..).zip(probabilities) {
            if probability >= probabilities[usize::from(grade)] {
                grade = candidate;
            }
        }
        let probability = probabilities[REFERABLE_FROM..].iter().sum::<f64>().min(1.0);
        let entropy_bits = -probabilities
            .iter()
            .filter(|share| **share > 0.0)
            .map(|share| share * share.log2())
            .sum::<f64>();
        let Abstain { low, high, entropy_bits_max } = self.abstain;
        let decision = if (low..high).contains(&probability) || entropy_bits > entropy_bits_max {
            Decision::Abstained
        } else if probability >= self.referable_threshold {
            Decision::Referable
        } else {
            Decision::NotReferable
        };
        let calibration =
            format!("temperature {} (Guo et al. 2017), fitted on {}", self.temperature, self.fitted_on);
        let referable = Referable { probability, threshold: self.referable_threshold, calibration };
        // A sure model's entropy is 0, not -0.
        Some(Grading { probabilities, grade, referable, entropy_bits: entropy_bits.max(0.0), decision })
    }
}

fn softmax(logits: [f64; GRADES]) -> [f64; GRADES] {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers = logits.map(|logit| (logit - largest).exp());
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calibration(temperature: f64) -> Calibration {
        Calibration {
            method: "temperature".to_owned(),
            temperature,
            fitted_on: "nothing".to_owned(),
            referable_threshold: 0.5,
            abstain: Abstain { low: 0.4, high: 0.6, entropy_bits_max: 2.0 },
        }
    }

    #[test]
    fn the_probabilities_are_the_softmax_of_what_the_temperature_leaves() {
        let logits = [0.2_f32, 0.4, 0.6, 0.8, 1.0].map(f32::ln);
        let grading = calibration(1.0).grade(&logits).unwrap();
        for (probability, expected) in grading.probabilities.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0]) {
            assert!((probability - expected / 3.0).abs() < 1e-7);
        }
        assert_eq!(grading.grade, 4);
        assert!((grading.referable.probability - 0.8).abs() < 1e-7);
        // By hand: the shares 1/15, 2/15, 3/15, 4/15, 5/15.
        assert!((grading.entropy_bits - 2.149_255).abs() < 1e-5);
        // A temperature of 2 takes the square roots of the shares.
        let warm = calibration(2.0).grade(&logits).unwrap();
        assert!((warm.probabilities[0] / warm.probabilities[4] - 0.2_f64.sqrt()).abs() < 1e-7);
    }

    #[test]
    fn nothing_is_decided_in_the_band_and_where_the_model_knows_nothing() {
        let decided = |referable: f64, calibration: &Calibration| {
            let logits = [(1.0 - referable).ln(), -50.0, referable.ln(), -50.0, -50.0];
            #[expect(clippy::cast_possible_truncation, reason = "a test's logits")]
            calibration.grade(&logits.map(|logit| logit as f32)).unwrap().decision
        };
        let rules = calibration(1.0);
        assert_eq!(decided(0.39, &rules), Decision::NotReferable);
        assert_eq!(decided(0.41, &rules), Decision::Abstained);
        assert_eq!(decided(0.59, &rules), Decision::Abstained);
        assert_eq!(decided(0.61, &rules), Decision::Referable);
        // The probabilities 0.39 and 0.61 have 0.965 bits.
        let strict = Calibration { abstain: Abstain { entropy_bits_max: 0.9, ..rules.abstain }, ..rules };
        assert_eq!(decided(0.61, &strict), Decision::Abstained);
        assert_eq!(decided(0.99, &strict), Decision::Referable);
        assert_eq!(calibration(1.0).grade(&[1.0; 5]).unwrap().decision, Decision::Abstained);
    }

    #[test]
    fn what_is_not_five_finite_logits_is_no_grade() {
        let rules = calibration(1.0);
        assert_eq!(rules.grade(&[0.0; 4]), None);
        assert_eq!(rules.grade(&[0.0, 0.0, f32::NAN, 0.0, 0.0]), None);
        assert_eq!(rules.grade(&[0.0, 0.0, f32::INFINITY, 0.0, 0.0]), None);
    }

    #[test]
    fn a_calibration_that_cannot_be_followed_is_refused_with_the_reason() {
        let good = serde_json::json!({"method": "temperature", "temperature": 1.5, "fitted_on": "x", "referable_threshold": 0.5,
            "abstain": {"low": 0.4, "high": 0.6, "entropy_bits_max": 2.0}});
        assert!(Calibration::read(&good).is_ok());
        let faults = [
            ("/temperature", serde_json::json!(0.0), "temperature is 0"),
            ("/method", serde_json::json!("guess"), "\"guess\" is not known"),
            ("/abstain/low", serde_json::json!(0.7), "abstain.low is 0.7"),
            ("/referable_threshold", serde_json::json!(1.5), "referable_threshold is 1.5"),
        ];
        for (pointer, value, message) in faults {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(Calibration::read(&bad).unwrap_err().to_string().contains(message), "{pointer}");
        }
        let mut bad = good;
        bad["threshold"] = serde_json::json!(1);
        assert!(Calibration::read(&bad).unwrap_err().to_string().contains("threshold"));
    }

    proptest! {
        #[test]
        fn probabilities_add_up_to_one_for_any_logits(logits in prop::array::uniform5(-1e30_f32..1e30), temperature in 0.01..100.0) {
            let grading = calibration(temperature).grade(&logits).unwrap();
            prop_assert!((grading.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(grading.probabilities.iter().all(|share| (0.0..=1.0).contains(share)));
            prop_assert!((0.0..=2.33).contains(&grading.entropy_bits));
        }
    }
}
