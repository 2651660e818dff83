//! How soon rest turns into activity, and activity into rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::opaque_debug;

/// The share of the points that each local line of the smoother is fitted to.
const NEIGHBOURS_SHARE: f64 = 0.3;

/// Where every probability is the same, rounding must not take it from the curve.
const ROUNDING: f64 = 1e-12;

/// Sustained transition probabilities.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transitions {
    /// `kRA`: the probability per epoch that sustained rest ends, 0 to 1.
    pub rest_to_activity: Option<f64>,
    /// `kAR`: the probability per epoch that sustained activity ends, 0 to 1.
    pub activity_to_rest: Option<f64>,
    /// How many epochs were observed.
    pub observed: u32,
    /// How many epochs there were.
    pub expected: u32,
}

opaque_debug!(Transitions);

/// `kRA` and `kAR` (Lim, Yu, Costa, Buchman, Bennett, Leurgans, Saper: Quantification of the fragmentation of rest-activity
/// patterns in elderly individuals using a state transition analysis. Sleep 2011;34:1569-1581).
///
/// An epoch is active where its count is above `threshold`. With `N_t` bouts of rest of at least `t` epochs, the probability
/// that one ends is `p(t) = (N_t - N_u) / N_t / (u - t)`, `u` being the next length that occurs. `p` is smoothed by local
/// lines (Cleveland 1979, LOWESS, 30 % of the points, tricube weights, no robust iteration), and `kRA` is the mean of `p`
/// over the longest stretch in which it is less than one standard deviation from that curve, weighted with
/// `sqrt(N_t + N_u)`. `kAR` is the same for bouts of activity.
///
/// **Missing data.** A bout that begins or ends at a missing epoch takes no part, because its length is not known. `None`
/// where there is no such stretch, as with bouts of fewer than three lengths.
pub fn transitions(x: &[Option<f64>], threshold: f64) -> Transitions {
    let is_active: Vec<Option<bool>> = x.iter().map(|x| x.map(|x| x > threshold)).collect();
    let (mut bouts, mut start) = ([BTreeMap::new(), BTreeMap::new()], 0);
    for bout in is_active.chunk_by(|a, b| a == b) {
        let end = start + bout.len();
        let is_cut = (start > 0 && is_active[start - 1].is_none()) || is_active.get(end) == Some(&None);
        if let Some(state) = bout[0].filter(|_| !is_cut) {
            *bouts[usize::from(state)].entry(bout.len()).or_insert(0_u32) += 1;
        }
        start = end;
    }
    let [rest, activity] = bouts;
    Transitions {
        rest_to_activity: sustained(&rest),
        activity_to_rest: sustained(&activity),
        observed: super::count(x.iter().flatten().count()),
        expected: super::count(x.len()),
    }
}

/// The probability that a bout ends after so many epochs.
struct Ending {
    epochs: f64,
    probability: f64,
    weight: f64,
}

/// From how many bouts there are of each length.
fn sustained(bouts: &BTreeMap<usize, u32>) -> Option<f64> {
    let mut left: u32 = bouts.values().sum();
    let lengths: Vec<(f64, f64)> = bouts
        .iter()
        .map(|(length, count)| {
            let at_least = left;
            left -= count;
            (*length as f64, f64::from(at_least))
        })
        .collect();
    let ending = |pair: &[(f64, f64)]| {
        let ((t, n_t), (u, n_u)) = (pair[0], pair[1]);
        Ending { epochs: t, probability: (n_t - n_u) / n_t / (u - t), weight: (n_t + n_u).sqrt() }
    };
    let endings: Vec<Ending> = lengths.windows(2).map(ending).collect();
    let n = endings.len() as f64;
    let mean = endings.iter().map(|ending| ending.probability).sum::<f64>() / n;
    let squares: f64 = endings.iter().map(|ending| (ending.probability - mean).powi(2)).sum();
    let deviation = (squares / (n - 1.0)).sqrt();
    let is_near: Vec<bool> = endings
        .iter()
        .zip(smoothed(&endings))
        .map(|(ending, smooth)| (ending.probability - smooth).abs() < deviation + ROUNDING)
        .collect();
    let mut start = 0;
    let stretches = is_near.chunk_by(|a, b| a == b).map(|run| {
        let range = start..start + run.len();
        start = range.end;
        range
    });
    let longest = stretches
        .filter(|range| is_near[range.start])
        .reduce(|longest, next| if next.len() > longest.len() { next } else { longest })?;
    let endings = &endings[longest];
    let weights: f64 = endings.iter().map(|ending| ending.weight).sum();
    Some(endings.iter().map(|ending| ending.probability * ending.weight).sum::<f64>() / weights)
}

/// LOWESS without robust iterations, at each point.
fn smoothed(points: &[Ending]) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a length"
    )]
    let share = (NEIGHBOURS_SHARE * points.len() as f64 + 1e-10) as usize;
    let neighbours = share.max(2).min(points.len());
    let mut start = 0;
    let smooth = |point: &Ending| {
        let at = point.epochs;
        while start + neighbours < points.len()
            && at > f64::midpoint(points[start].epochs, points[start + neighbours].epochs)
        {
            start += 1;
        }
        let near = &points[start..start + neighbours];
        let radius = (at - near[0].epochs).max(near[neighbours - 1].epochs - at);
        local_line(near, at, radius).unwrap_or(point.probability)
    };
    points.iter().map(smooth).collect()
}

/// The value at `at` of the line through `near`, weighted by tricubes; `None` where fewer than two points have weight.
fn local_line(near: &[Ending], at: f64, radius: f64) -> Option<f64> {
    let tricube = |point: &Ending| (1.0 - ((point.epochs - at).abs() / radius).powi(3)).powi(3);
    let weights: Vec<f64> = near.iter().map(tricube).collect();
    if weights.iter().filter(|weight| **weight > 1e-12).count() < 2 {
        return None;
    }
    let sum: f64 = weights.iter().sum();
    let mean = |of: &dyn Fn(&Ending) -> f64| {
        near.iter().zip(&weights).map(|(point, weight)| weight * of(point)).sum::<f64>() / sum
    };
    let (t_mean, p_mean) = (mean(&|point| point.epochs), mean(&|point| point.probability));
    let tt = mean(&|point| (point.epochs - t_mean).powi(2));
    let tp = mean(&|point| (point.epochs - t_mean) * (point.probability - p_mean));
    Some(p_mean + tp / tt * (at - t_mean))
}

#[cfg(test)]
mod tests;
