//! Two eyes of one person.

use serde::{Deserialize, Serialize};

use crate::{Decision, Grading};

/// Which eye, from its owner's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eye {
    /// The left eye (oculus sinister).
    Left,
    /// The right eye (oculus dexter).
    Right,
}

/// Photographs of two eyes that are further apart are not spoken of together: a retina changes.
pub const EYES_WITHIN_DAYS: i64 = 30;

/// What two eyes say together: the worse one counts, as in screening programmes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BothEyes {
    /// The higher grade; `None` where neither eye was graded.
    pub grade: Option<u8>,
    /// The eye with the higher grade, or of equal ones with the higher referable probability.
    pub worse_eye: Option<Eye>,
    /// Referable where one eye is; not referable only where both are graded and neither is; else abstained.
    pub decision: Decision,
    /// Eyes without a grade: not photographed, or ungradable.
    pub ungraded: Vec<Eye>,
    /// How it was made.
    pub rule: String,
}

impl BothEyes {
    /// Combines what is known of each eye; an eye without a grade is never taken for a healthy one.
    pub fn combine(left: Option<&Grading>, right: Option<&Grading>) -> Self {
        let eyes = [(Eye::Left, left), (Eye::Right, right)];
        let graded = || eyes.iter().filter_map(|(eye, grading)| Some((*eye, (*grading)?)));
        let worse = graded().max_by(|(_, one), (_, other)| {
            let by_probability = one.referable.probability.total_cmp(&other.referable.probability);
            one.grade.cmp(&other.grade).then(by_probability)
        });
        let ungraded: Vec<Eye> =
            eyes.iter().filter_map(|(eye, grading)| grading.is_none().then_some(*eye)).collect();
        let decision = if graded().any(|(_, grading)| grading.decision == Decision::Referable) {
            Decision::Referable
        } else if ungraded.is_empty()
            && graded().all(|(_, grading)| grading.decision == Decision::NotReferable)
        {
            Decision::NotReferable
        } else {
            Decision::Abstained
        };
        Self {
            grade: worse.map(|(_, grading)| grading.grade),
            worse_eye: worse.map(|(eye, _)| eye),
            decision,
            ungraded,
            rule: format!(
                "the worse eye counts; an eye without a grade, or whose photograph is more than {EYES_WITHIN_DAYS} days older \
                 than the other's or was graded by another model, keeps the person from being not referable"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Referable;

    fn graded(grade: u8, probability: f64, decision: Decision) -> Grading {
        let referable = Referable { probability, threshold: 0.5, calibration: String::new() };
        Grading { probabilities: [0.2; 5], grade, referable, entropy_bits: 0.0, decision }
    }

    #[test]
    fn the_worse_eye_counts() {
        let (healthy, ill) = (graded(0, 0.1, Decision::NotReferable), graded(3, 0.9, Decision::Referable));
        let both = BothEyes::combine(Some(&healthy), Some(&ill));
        assert_eq!(
            (both.grade, both.worse_eye, both.decision),
            (Some(3), Some(Eye::Right), Decision::Referable)
        );
        let both = BothEyes::combine(Some(&healthy), Some(&healthy));
        assert_eq!((both.grade, both.decision), (Some(0), Decision::NotReferable));
    }

    #[test]
    fn an_eye_without_a_grade_is_never_a_healthy_one() {
        let (healthy, ill) = (graded(0, 0.1, Decision::NotReferable), graded(3, 0.9, Decision::Referable));
        let one = BothEyes::combine(Some(&healthy), None);
        assert_eq!((one.decision, one.ungraded), (Decision::Abstained, vec![Eye::Right]));
        assert_eq!(BothEyes::combine(None, Some(&ill)).decision, Decision::Referable);
        let none = BothEyes::combine(None, None);
        assert_eq!((none.grade, none.worse_eye, none.decision), (None, None, Decision::Abstained));
        let unsure = graded(1, 0.45, Decision::Abstained);
        assert_eq!(BothEyes::combine(Some(&healthy), Some(&unsure)).decision, Decision::Abstained);
    }
}
