//! The cosinor: a cosine of a known period, fitted by least squares.

use serde::{Deserialize, Serialize};

use super::{circadian::varies, opaque_debug};

/// Without observation for a longer share of the period than this, the curve is not fitted.
pub const PHASE_GAP_SHARE_MAX: f64 = 0.25;

/// How many parts of the period are looked at for such gaps.
const PHASES: usize = 24;

/// A fitted cosine.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cosinor {
    /// M, the mean level, in the unit of the series.
    pub mesor: f64,
    /// β, the coefficient of the cosine, in the unit of the series.
    pub beta: f64,
    /// γ, the coefficient of the sine, in the unit of the series.
    pub gamma: f64,
    /// A = `sqrt(β² + γ²)`, in the unit of the series.
    pub amplitude: f64,
    /// φ = `-atan2(γ, β)` of `M + A cos(ω t + φ)`, in radians from -π to π; `t` counts from the first epoch.
    pub acrophase_rad: f64,
    /// When the curve first peaks, in epochs after the first one, from 0 up to the period.
    pub peak_epochs: f64,
    /// The share of the variance that the curve explains, 0 to 1.
    pub r_squared: f64,
    /// How many epochs were observed.
    pub observed: u32,
    /// How many epochs there were.
    pub expected: u32,
}

opaque_debug!(Cosinor);

/// Fits `x_t = M + β cos(2π t / p) + γ sin(2π t / p)` by ordinary least squares; `p` is `period_epochs`, `t` the number of
/// the epoch. Nelson, Tong, Lee, Halberg: Methods for cosinor-rhythmometry. Chronobiologia 1979;6:305-323.
///
/// **Missing data.** Missing epochs take no part. `None` where less than one period was looked at, where the phases of more
/// than [`PHASE_GAP_SHARE_MAX`] of the period in a row were never observed, because the curve would be invented there, and
/// where nothing varies.
pub fn cosinor(x: &[Option<f64>], period_epochs: f64) -> Option<Cosinor> {
    let omega = std::f64::consts::TAU / period_epochs;
    // Cosine, sine and value.
    let at = |(t, x): (usize, &Option<f64>)| {
        let (sin, cos) = (omega * t as f64).sin_cos();
        x.filter(|x| x.is_finite()).map(|x| [cos, sin, x])
    };
    let observed: Vec<[f64; 3]> = x.iter().enumerate().filter_map(at).collect();
    let is_possible = period_epochs.is_finite() && period_epochs > 2.0 && x.len() as f64 >= period_epochs;
    if !is_possible || !covers_the_period(x, period_epochs) {
        return None;
    }
    let n = observed.len() as f64;
    let mean = |of: &dyn Fn(&[f64; 3]) -> f64| observed.iter().map(of).sum::<f64>() / n;
    let [c_mean, s_mean, x_mean] = [0, 1, 2].map(|index| mean(&|at| at[index]));
    // With all three centred on their means, the mesor leaves two equations for β and γ.
    let cc = mean(&|[c, ..]| (c - c_mean).powi(2));
    let ss = mean(&|[_, s, _]| (s - s_mean).powi(2));
    let cs = mean(&|[c, s, _]| (c - c_mean) * (s - s_mean));
    let cx = mean(&|[c, _, x]| (c - c_mean) * (x - x_mean));
    let sx = mean(&|[_, s, x]| (s - s_mean) * (x - x_mean));
    let variance = mean(&|[.., x]| (x - x_mean).powi(2));
    let determinant = cc * ss - cs * cs;
    if determinant < 1e-9 || !varies(variance, x_mean) {
        return None;
    }
    let beta = (cx * ss - sx * cs) / determinant;
    let gamma = (sx * cc - cx * cs) / determinant;
    let acrophase_rad = -gamma.atan2(beta);
    Some(Cosinor {
        mesor: x_mean - beta * c_mean - gamma * s_mean,
        beta,
        gamma,
        amplitude: beta.hypot(gamma),
        acrophase_rad,
        peak_epochs: (-acrophase_rad).rem_euclid(std::f64::consts::TAU) / omega,
        r_squared: ((beta * cx + gamma * sx) / variance).clamp(0.0, 1.0),
        observed: super::count(observed.len()),
        expected: super::count(x.len()),
    })
}

/// Whether no stretch of the period that is too long was never observed.
fn covers_the_period(x: &[Option<f64>], period: f64) -> bool {
    let mut seen = [false; PHASES];
    for (t, _) in x.iter().enumerate().filter(|(_, x)| x.is_some_and(f64::is_finite)) {
        let phase = (t as f64).rem_euclid(period) / period * PHASES as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a phase is a place in the list"
        )]
        let phase = (phase as usize).min(PHASES - 1);
        seen[phase] = true;
    }
    let (mut gap, mut gap_max) = (0_u32, 0);
    // Twice around, because the period is circular.
    for seen in seen.iter().chain(&seen) {
        gap = if *seen { 0 } else { gap + 1 };
        gap_max = gap_max.max(gap);
    }
    f64::from(gap_max) <= PHASE_GAP_SHARE_MAX * PHASES as f64
}

#[cfg(test)]
mod tests;
