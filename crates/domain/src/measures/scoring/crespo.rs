//! Crespo, Aboy, Fernández, Mojón: Automatic identification of activity-rest periods based on actigraphy. Med Biol Eng
//! Comput 2012;50:329-340.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    median::{Sorted, medians, quantile},
    usable,
};
use crate::measures::epoch::Epoch;

/// The usual length of sleep, α: also the window of the medians.
const SLEEP_MINUTES: u32 = 480;
/// The shortest window at the ends of the series, β: also the scale of the morphological filters.
const FILTER_MINUTES: u32 = 60;
/// Runs of zeros of at least so many minutes are replaced by a quantile of the counts before the first pass.
const ZEROS_MINUTES: u32 = 15;
const ZEROS_QUANTILE: f64 = 0.33;
/// Runs of zeros of at least so many minutes are invalid in rest and in activity.
const INVALID_REST_MINUTES: u32 = 30;
const INVALID_ACTIVE_MINUTES: u32 = 2;
/// The share of a day that is rest.
const REST_SHARE: f64 = SLEEP_MINUTES as f64 / 1440.0;

/// Whether an epoch belongs to a period of rest or of activity. Lying awake for a while is rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestActivity {
    /// Rest.
    Rest,
    /// Activity.
    Active,
}

/// Which algorithm is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrespoDefinition {
    /// As published.
    #[default]
    Published,
    /// As pyActigraphy 1.2.2 computes it. The conditioned counts are not used; runs of zeros count epochs whatever their
    /// length, and run on over the periods of the other kind; the padding is one epoch shorter and takes part in the first
    /// quantile; the windows at both ends are not centred; the filters take what lies beyond an end as rest; the first and
    /// the last epoch are active.
    PyActigraphy,
}

/// Tells periods of rest from periods of activity in counts per epoch by two passes of a median filter of 8 hours, a
/// threshold at the quantile of the usual share of rest (8 h / 24 h), and a morphological closing and opening.
///
/// **Missing data.** A missing epoch takes no part in medians and quantiles and is neither rest nor activity. So is
/// everything where no count is above 0.
pub fn crespo(
    counts: &[Option<f64>],
    epoch: Epoch,
    definition: CrespoDefinition,
) -> Vec<Option<RestActivity>> {
    let counts: Vec<Option<f64>> = counts.iter().map(|count| usable(*count)).collect();
    let Some(most) = counts.iter().copied().flatten().reduce(f64::max).filter(|most| *most > 0.0) else {
        return vec![None; counts.len()];
    };
    let pass = Pass { counts: &counts, most, epoch, is_published: definition == CrespoDefinition::Published };
    let is_active = pass.second(&pass.first());
    let told = |(count, is_active): (&Option<f64>, bool)| {
        count.map(|_| if is_active { RestActivity::Active } else { RestActivity::Rest })
    };
    counts.iter().zip(is_active).map(told).collect()
}

struct Pass<'a> {
    counts: &'a [Option<f64>],
    /// The highest count: what the series is padded with.
    most: f64,
    epoch: Epoch,
    is_published: bool,
}

impl Pass<'_> {
    /// Half of the medians' window, which is 8 hours and an epoch.
    fn half(&self) -> usize {
        self.epoch.in_minutes(SLEEP_MINUTES) / 2
    }

    /// Half of a morphological window of an hour and an epoch.
    fn filter_half(&self) -> usize {
        self.epoch.in_minutes(FILTER_MINUTES) / 2
    }

    fn zeros(&self, minutes: u32) -> usize {
        if self.is_published { self.epoch.in_minutes(minutes) } else { minutes as usize }
    }

    fn pad(&self, length: usize) -> usize {
        if self.is_published { length } else { length - 1 }
    }

    fn padded(&self, x: &[Option<f64>], length: usize) -> Vec<Option<f64>> {
        let pad = vec![Some(self.most); length];
        [pad.as_slice(), x, pad.as_slice()].concat()
    }

    fn filtered(&self, x: &[bool], half: usize) -> Vec<bool> {
        let beyond = !self.is_published;
        let closed = eroded(&dilated(x, half), half, beyond);
        dilated(&eroded(&closed, half, beyond), half)
    }

    /// The estimate of activity that tells which zeros are valid.
    fn first(&self) -> Vec<bool> {
        let mut x = self.counts.to_vec();
        if self.is_published {
            let stand_in = quantile(self.counts.iter().copied(), ZEROS_QUANTILE);
            let all: Vec<usize> = (0..x.len()).collect();
            for run in zero_runs(self.counts, &all, self.zeros(ZEROS_MINUTES), false) {
                for index in run {
                    x[*index] = stand_in;
                }
            }
        }
        let pad = self.pad(self.half());
        let medians = medians(&self.padded(&x, pad), |_| self.half(), self.half());
        let inside = pad..pad + x.len();
        let threshold = if self.is_published {
            quantile(medians[inside.clone()].iter().copied(), REST_SHARE)
        } else {
            quantile(medians.iter().copied(), REST_SHARE)
        };
        let cut = |range: Range<usize>| self.filtered(&above(&medians[range], threshold), self.filter_half());
        // The published pass is of the series, pyActigraphy's of the padded one.
        if self.is_published { cut(inside) } else { cut(0..medians.len())[inside].to_vec() }
    }

    fn second(&self, first: &[bool]) -> Vec<bool> {
        let mut x = self.counts.to_vec();
        for (is_active, minutes) in [(false, INVALID_REST_MINUTES), (true, INVALID_ACTIVE_MINUTES)] {
            let of_kind: Vec<usize> = (0..x.len()).filter(|index| first[*index] == is_active).collect();
            for run in zero_runs(self.counts, &of_kind, self.zeros(minutes), !self.is_published) {
                for index in run {
                    x[*index] = None;
                }
            }
        }
        let hour = self.epoch.in_minutes(FILTER_MINUTES);
        let pad = self.pad(hour);
        let padded = self.padded(&x, pad);
        let last = padded.len() - 1;
        let medians = if self.is_published {
            medians(&padded, |index| self.half().min(index).min(last - index), 1)
        } else {
            self.uncentred(&padded, hour)
        };
        let medians = &medians[pad..pad + x.len()];
        let threshold = quantile(medians.iter().copied(), REST_SHARE);
        let mut is_active = self.filtered(&above(medians, threshold), 2 * self.filter_half());
        if !self.is_published {
            let last = is_active.len() - 1;
            (is_active[0], is_active[last]) = (true, true);
        }
        is_active
    }

    /// pyActigraphy's windows: at the start from the first epoch up to each, and at the end, too far left by half a window,
    /// from each up to the last but one.
    fn uncentred(&self, padded: &[Option<f64>], observed_min: usize) -> Vec<Option<f64>> {
        let (half, window, length) = (self.half(), 2 * self.half() + 1, padded.len());
        let mut medians = medians(padded, |_| half, observed_min);
        if length < window + 1 {
            return medians;
        }
        let expanding = |values: &mut dyn Iterator<Item = &Option<f64>>| {
            let mut held = Sorted::default();
            let median = |value: &Option<f64>| {
                held.insert(*value);
                held.median(1)
            };
            values.map(median).collect::<Vec<_>>()
        };
        let start = expanding(&mut padded[..half].iter());
        let mut end = expanding(&mut padded[length - window - 1..length - 1].iter().rev());
        end.reverse();
        medians[..half].copy_from_slice(&start);
        medians[length - half - 1..length - 1].copy_from_slice(&end[..half]);
        medians
    }
}

/// Whether each median is above `threshold`; an unknown one is not.
fn above(medians: &[Option<f64>], threshold: Option<f64>) -> Vec<bool> {
    medians.iter().map(|median| median.zip(threshold).is_some_and(|(median, p)| median > p)).collect()
}

/// The runs of at least `length_min` epochs without a count, of the epochs of `indices`. A gap between these ends a run
/// unless `over_gaps`.
fn zero_runs<'a>(
    counts: &[Option<f64>],
    indices: &'a [usize],
    length_min: usize,
    over_gaps: bool,
) -> Vec<&'a [usize]> {
    let is_zero = |index: usize| counts[index].is_some_and(|count| count < 1.0);
    let continues = |a: &usize, b: &usize| is_zero(*a) && is_zero(*b) && (over_gaps || a + 1 == *b);
    let runs = indices.chunk_by(continues);
    runs.filter(|run| is_zero(run[0]) && run.len() >= length_min).collect()
}

/// Whether any epoch is set within `half` of each.
fn dilated(x: &[bool], half: usize) -> Vec<bool> {
    let set = sums(x);
    let any = |index: usize| set[(index + half + 1).min(x.len())] > set[index.saturating_sub(half)];
    (0..x.len()).map(any).collect()
}

/// Whether every epoch is set within `half` of each; what is beyond an end counts as not set where `beyond` says so.
fn eroded(x: &[bool], half: usize, beyond: bool) -> Vec<bool> {
    let set = sums(x);
    let all = |index: usize| {
        let is_whole = index >= half && index + half < x.len();
        let (start, end) = (index.saturating_sub(half), (index + half + 1).min(x.len()));
        set[end] - set[start] == end - start && (is_whole || !beyond)
    };
    (0..x.len()).map(all).collect()
}

fn sums(x: &[bool]) -> Vec<usize> {
    let mut sum = 0;
    std::iter::once(0)
        .chain(x.iter().map(|set| {
            sum += usize::from(*set);
            sum
        }))
        .collect()
}
