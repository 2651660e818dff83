//! Detrended fluctuation analysis.

use serde::{Deserialize, Serialize};

use super::{circadian::varies, opaque_debug};

/// The shortest segment to which a line is fitted, in epochs.
const EPOCHS_MIN: usize = 4;

/// A series is at least so many times as long as its longest segments.
const SEGMENTS_MIN: usize = 4;

/// How fluctuations grow with the scale.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Fluctuations {
    /// Each scale in epochs, with `F(n)` in the unit of the series.
    pub by_scale: Vec<(u32, f64)>,
    /// α, the slope of `ln F` over `ln n`: 0.5 for noise without memory, about 1 for healthy activity, 1.5 for a random
    /// walk. Without unit.
    pub alpha: f64,
    /// The standard error of α; 0 with two scales.
    pub standard_error: f64,
    /// How many epochs were analysed.
    pub observed: u32,
}

opaque_debug!(Fluctuations);

/// DFA of order 1 (Peng, Buldyrev, Havlin, Simons, Stanley, Goldberger: Mosaic organization of DNA nucleotides. Phys Rev E
/// 1994;49:1685-1689; for activity Hu et al., Physica A 2004;337:307-318).
///
/// The profile `y_k = Σ_{i<=k} (x_i - x̄)` is cut into segments of `n` epochs from the start, and again from the end, as
/// Kantelhardt et al. 2001 do, so that nothing is left out. `F(n)` is the root of the mean over the segments of the mean
/// squared residual from the segment's least-squares line.
///
/// **Missing data.** The formula needs data without gaps: see [`longest_observed`]. `None` where a scale is below 4 epochs
/// or above a quarter of the series, where there are fewer than two scales, and where nothing fluctuates.
pub fn dfa(x: &[f64], scales: &[usize]) -> Option<Fluctuations> {
    if x.iter().any(|x| !x.is_finite())
        || scales.iter().any(|scale| *scale < EPOCHS_MIN || x.len() / SEGMENTS_MIN < *scale)
    {
        return None;
    }
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    if !varies(variance, mean) {
        return None;
    }
    let mut sum = 0.0;
    let profile: Vec<f64> = x
        .iter()
        .map(|x| {
            sum += x - mean;
            sum
        })
        .collect();
    let by_scale: Vec<(u32, f64)> =
        scales.iter().map(|scale| (super::count(*scale), fluctuation(&profile, *scale))).collect();
    let (alpha, standard_error) = slope(&by_scale)?;
    Some(Fluctuations { by_scale, alpha, standard_error, observed: super::count(x.len()) })
}

/// The longest stretch of a series in which nothing is missing; the first of equals.
pub fn longest_observed(x: &[Option<f64>]) -> Vec<f64> {
    let stretches = x.split(Option::is_none);
    let longest = stretches.reduce(|longest, next| if next.len() > longest.len() { next } else { longest });
    longest.unwrap_or_default().iter().copied().flatten().collect()
}

fn fluctuation(profile: &[f64], n: usize) -> f64 {
    let segments = profile.chunks_exact(n).chain(profile.rchunks_exact(n));
    let (count, sum) =
        segments.fold((0_u32, 0.0), |(count, sum), segment| (count + 1, sum + residual(segment)));
    (sum / f64::from(count)).sqrt()
}

/// The mean squared residual from the least-squares line through equally spaced points.
fn residual(y: &[f64]) -> f64 {
    let n = y.len() as f64;
    let (x_mean, y_mean) = ((n - 1.0) / 2.0, y.iter().sum::<f64>() / n);
    let centred = |index: usize| index as f64 - x_mean;
    let xy: f64 = y.iter().enumerate().map(|(index, y)| centred(index) * (y - y_mean)).sum();
    let slope = xy / (n * (n * n - 1.0) / 12.0);
    y.iter().enumerate().map(|(index, y)| (y - y_mean - slope * centred(index)).powi(2)).sum::<f64>() / n
}

/// The least-squares slope of `ln F` over `ln n`, and its standard error.
fn slope(by_scale: &[(u32, f64)]) -> Option<(f64, f64)> {
    let points: Vec<(f64, f64)> =
        by_scale.iter().map(|(scale, f)| (f64::from(*scale).ln(), f.ln())).collect();
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let xx: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let xy: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    if points.len() < 2 || xx <= 0.0 || !xy.is_finite() {
        return None;
    }
    let alpha = xy / xx;
    let residuals: f64 = points.iter().map(|(x, y)| (y - y_mean - alpha * (x - x_mean)).powi(2)).sum();
    let error = if points.len() > 2 { (residuals / (n - 2.0) / xx).sqrt() } else { 0.0 };
    Some((alpha, error))
}

#[cfg(test)]
mod tests;
