//! Kripke, Hahn, Grizas, et al.: Wrist actigraphic scoring for sleep laboratory patients: algorithm development. J Sleep Res
//! 2010;19:612-619 (Scripps Clinic).

use super::{SleepWake, weighted};

/// The weights of the minutes from 10 before to 2 after the scored one.
const WEIGHTS: [f64; 13] =
    [0.0064, 0.0074, 0.0112, 0.0112, 0.0118, 0.0118, 0.0128, 0.0188, 0.0280, 0.0664, 0.0300, 0.0112, 0.0100];
const BEFORE: usize = 10;
const SCALE: f64 = 0.204;

/// Scores epochs by the weights of Kripke et al. 2010.
///
/// `D = 0.204 Σ w_k A_{k}`, `k` from -10 to 2, without unit; sleep where `D < 1`.
///
/// **Missing data.** All thirteen epochs are needed: the first ten and the last two of a series are not scored.
pub fn scripps(counts: &[Option<f64>]) -> Vec<Option<SleepWake>> {
    weighted(counts, &WEIGHTS, BEFORE).map(|sum| Some(SleepWake::asleep_if(SCALE * sum? < 1.0))).collect()
}
