//! More non-parametric measures of the rhythm of rest and activity: over several widths of bins, by period, and the times
//! at which the mean day turns.
//!
//! Series are counts per epoch. [`Layout`] says how long an epoch is and at which epoch of the day a series begins. All days
//! have 24 hours: lay local days side by side first, as [`local_series`](super::activity::local_series) does.

use serde::{Deserialize, Serialize};

use super::{
    circadian::{self, interdaily_stability, relative_amplitude},
    epoch::Epoch,
    opaque_debug,
};

/// The widths of bins, in minutes, over which `ISm` and `IVm` average.
///
/// They are the divisors of a day up to an hour that `pyActigraphy` 1.2.2 takes, after Gonçalves et al.: Nonparametric
/// methods in actigraphy: an update. Sleep Sci 2014;7:158-164.
pub const WIDTHS_MINUTES: [u32; 22] =
    [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 30, 32, 36, 40, 45, 48, 60];

/// The share of the mean day that L5, M10 and RA need, as [`circadian::PROFILE_MINUTES_MIN`] says.
const PROFILE_SHARE_MIN: f64 = circadian::PROFILE_MINUTES_MIN as f64 / 1440.0;

/// How a series lies in its days.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layout {
    /// How long an epoch is.
    pub epoch: Epoch,
    /// Which epoch of the local day the first one is, from 0.
    pub first_of_day: usize,
}

impl Layout {
    /// Minutes from local midnight.
    pub const MINUTES: Self = Self { epoch: Epoch::MINUTE, first_of_day: 0 };

    fn epoch_of_day(self, index: usize) -> usize {
        (self.first_of_day + index) % self.epoch.per_day()
    }
}

/// One measure over several widths of bins.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct OverWidths {
    /// Each width in minutes, with the measure's value at that width.
    pub by_width: Vec<(u32, f64)>,
    /// The mean of these values.
    pub mean: f64,
}

opaque_debug!(OverWidths);

/// `ISm` (Gonçalves 2014): the mean of interdaily stability over bins of [`WIDTHS_MINUTES`], from the first epoch on. Without
/// unit.
///
/// **Missing data.** As [`circadian`]: a bin counts, with the mean of its observed epochs, where at least half of them were
/// observed. `None` where at some width a bin of the day was never observed or nothing varies, for less than a day, and where
/// an epoch is longer than a minute or does not divide one.
pub fn interdaily_stability_over_widths(x: &[Option<f64>], epoch: Epoch) -> Option<OverWidths> {
    over_widths(x, epoch, |bins, per_day| {
        let known: Vec<(usize, f64)> =
            bins.iter().enumerate().filter_map(|(bin, value)| Some((bin % per_day, (*value)?))).collect();
        let mut seen = vec![false; per_day];
        for (bin, _) in &known {
            seen[*bin] = true;
        }
        seen.iter().all(|seen| *seen).then(|| circadian::stability(&known))?
    })
}

/// `IVm` (Gonçalves 2014): the mean of intradaily variability, as [`interdaily_stability_over_widths`]; a step from or to a
/// bin that does not count takes no part.
pub fn intradaily_variability_over_widths(x: &[Option<f64>], epoch: Epoch) -> Option<OverWidths> {
    over_widths(x, epoch, |bins, _| circadian::variability(bins))
}

fn over_widths(
    x: &[Option<f64>],
    epoch: Epoch,
    of: impl Fn(&[Option<f64>], usize) -> Option<f64>,
) -> Option<OverWidths> {
    if 60 % epoch.as_seconds() != 0 || x.len() < epoch.per_day() {
        return None;
    }
    let at_width = |minutes: u32| {
        let width = epoch.in_minutes(minutes);
        let bins: Vec<Option<f64>> = x.chunks(width).map(bin_mean).collect();
        Some((minutes, of(&bins, epoch.per_day() / width)?))
    };
    let by_width: Vec<(u32, f64)> = WIDTHS_MINUTES.into_iter().map(at_width).collect::<Option<_>>()?;
    let mean = by_width.iter().map(|(_, value)| value).sum::<f64>() / by_width.len() as f64;
    Some(OverWidths { by_width, mean })
}

/// The mean of what was observed of a bin, if that is at least half of it.
fn bin_mean(bin: &[Option<f64>]) -> Option<f64> {
    let (observed, sum) = bin.iter().flatten().fold((0, 0.0), |(observed, sum), x| (observed + 1, sum + x));
    (2 * observed >= bin.len() && observed > 0).then(|| sum / observed as f64)
}

/// The mean day: for each epoch of the day from midnight, the mean of what was observed in it on all days; `None` where
/// nothing was.
pub fn mean_day(x: &[Option<f64>], layout: Layout) -> Vec<Option<f64>> {
    let mut slots = vec![(0_u32, 0.0_f64); layout.epoch.per_day()];
    for (index, value) in x.iter().enumerate() {
        if let Some(value) = value {
            let (count, sum) = &mut slots[layout.epoch_of_day(index)];
            *count += 1;
            *sum += value;
        }
    }
    slots.into_iter().map(|(count, sum)| (count > 0).then(|| sum / f64::from(count))).collect()
}

/// L5, M10 and RA of a mean day (Van Someren 1999).
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RestActivityContrast {
    /// Mean of the least active 5 hours, in counts per epoch.
    pub l5: f64,
    /// Mean of the most active 10 hours, in counts per epoch.
    pub m10: f64,
    /// `(M10 - L5) / (M10 + L5)`, without unit.
    pub relative_amplitude: f64,
}

opaque_debug!(RestActivityContrast);

/// L5, M10 and RA of a series.
///
/// **Missing data.** At least 95 % of the epochs of the mean day must have been observed on some day, else `None`; `None`
/// also without any activity.
pub fn contrast(x: &[Option<f64>], layout: Layout) -> Option<RestActivityContrast> {
    let day = mean_day(x, layout);
    if (day.iter().flatten().count() as f64) < PROFILE_SHARE_MIN * day.len() as f64 {
        return None;
    }
    let l5 = circadian::extreme(&day, layout.epoch.in_minutes(300), f64::lt)?.mean;
    let m10 = circadian::extreme(&day, layout.epoch.in_minutes(600), f64::gt)?.mean;
    Some(RestActivityContrast { l5, m10, relative_amplitude: relative_amplitude(l5, m10)? })
}

/// `RAp`: [`contrast`] of each successive period of whole days, from the first epoch on; what is left at the end is left out.
pub fn contrast_by_period(
    x: &[Option<f64>],
    layout: Layout,
    days: usize,
) -> Vec<Option<RestActivityContrast>> {
    periods(x, layout.epoch.per_day(), days).map(|period| contrast(period, layout)).collect()
}

/// `ISp`: interdaily stability of each successive period of whole days, in bins of so many minutes that are sums, from the
/// first epoch on; what is left at the end is left out. Without unit.
///
/// **Missing data.** `None` for a period in which an epoch is missing, that has only one day, or in which nothing varies.
pub fn interdaily_stability_by_period(
    x: &[Option<f64>],
    epoch: Epoch,
    bin_minutes: u32,
    days: usize,
) -> Vec<Option<f64>> {
    let width = epoch.in_minutes(bin_minutes);
    let stability = |period: &[Option<f64>]| {
        if width == 0 || !epoch.per_day().is_multiple_of(width) || days < 2 {
            return None;
        }
        let whole: Vec<f64> = period.iter().copied().collect::<Option<_>>()?;
        let bins: Vec<f64> = whole.chunks(width).map(|bin| bin.iter().sum()).collect();
        interdaily_stability(&bins, epoch.per_day() / width)
    };
    periods(x, epoch.per_day(), days).map(stability).collect()
}

fn periods(x: &[Option<f64>], per_day: usize, days: usize) -> impl Iterator<Item = &[Option<f64>]> {
    x.chunks_exact((per_day * days).max(1))
}

/// ADAT: the average total activity of a local day, in counts, after Hammad et al.: `pyActigraphy`: Open-source Python package
/// for actigraphy data visualization and analysis. PLOS Comput Biol 2021;17:e1009514.
///
/// **Missing data.** A day's total is that of its observed epochs, times epochs of a day / observed epochs. Days of which a
/// smaller share than `day_share_min` was observed take no part; without any other it is `None`.
pub fn average_daily_total(x: &[Option<f64>], layout: Layout, day_share_min: f64) -> Option<f64> {
    let per_day = layout.epoch.per_day();
    let first = per_day - layout.first_of_day % per_day;
    let (head, tail) = x.split_at(first.min(x.len()));
    let totals: Vec<f64> = std::iter::once(head)
        .chain(tail.chunks(per_day))
        .filter_map(|day| {
            let observed = day.iter().flatten().count() as f64;
            let is_enough = observed > 0.0 && observed >= day_share_min * per_day as f64;
            is_enough.then(|| day.iter().flatten().sum::<f64>() * per_day as f64 / observed)
        })
        .collect();
    (!totals.is_empty()).then(|| totals.iter().sum::<f64>() / totals.len() as f64)
}

/// How many bins before and after an epoch the times of onset and offset look at: an hour of 5 minutes each.
const TURN_BINS: usize = 12;
/// The bins in which the mean day is looked at.
const TURN_BIN_MINUTES: u32 = 5;

/// When the mean day turns from rest to activity and back, as local minutes of the day.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Turns {
    /// `AonT`: the start of the 5 minutes after which an hour is most active relative to the hour before.
    pub onset_minute: u32,
    /// `AoffT`: the start of the 5 minutes before which an hour is most active relative to the hour after.
    pub offset_minute: u32,
}

opaque_debug!(Turns);

/// Whether the mean day goes on over midnight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayEnds {
    /// It ends at midnight, as published: no turn is found within the hours around it.
    #[default]
    Cut,
    /// It is circular, so that somebody who goes to sleep at midnight has an offset.
    Joined,
}

/// `AonT` and `AoffT` (Hammad 2021): where `mean of 1 h after / mean of 1 h before - 1` of the mean day in bins of 5 minutes
/// is greatest, and the same the other way round; the earliest of equals.
///
/// **Missing data.** A bin of a day counts where all its epochs were observed; a time is looked at where all bins of both
/// hours are known. `None` where no time is, or where all of them are 0.
pub fn turns(x: &[Option<f64>], layout: Layout, ends: DayEnds) -> Option<Turns> {
    let day = five_minute_day(x, layout)?;
    let times = match ends {
        DayEnds::Cut => TURN_BINS..day.len() - TURN_BINS + 1,
        DayEnds::Joined => 0..day.len(),
    };
    let hours = |at: usize| {
        let sum =
            |range: std::ops::Range<usize>| -> Option<f64> { range.map(|bin| day[bin % day.len()]).sum() };
        let at = at + day.len();
        Some((sum(at - TURN_BINS..at)?, sum(at..at + TURN_BINS)?))
    };
    let ratios = |ratio: fn((f64, f64)) -> f64| {
        let known = times.clone().filter_map(|at| Some((at, ratio(hours(at)?))));
        // 0 / 0 is NaN: nothing turns there.
        let best = known.filter(|(_, ratio)| !ratio.is_nan()).reduce(|a, b| if b.1 > a.1 { b } else { a });
        best.and_then(|(at, _)| u32::try_from(at).ok()).map(|at| at * TURN_BIN_MINUTES)
    };
    Some(Turns {
        onset_minute: ratios(|(before, after)| after / before)?,
        offset_minute: ratios(|(before, after)| before / after)?,
    })
}

/// The mean day in bins of 5 minutes, which begin with the series.
fn five_minute_day(x: &[Option<f64>], layout: Layout) -> Option<Vec<Option<f64>>> {
    let width = layout.epoch.in_minutes(TURN_BIN_MINUTES);
    if width == 0 || !layout.first_of_day.is_multiple_of(width) || 300 % layout.epoch.as_seconds() != 0 {
        return None;
    }
    let bins: Vec<Option<f64>> = x.chunks_exact(width).map(|bin| bin.iter().copied().sum()).collect();
    let layout = Layout {
        epoch: Epoch::seconds(TURN_BIN_MINUTES * 60).ok()?,
        first_of_day: layout.first_of_day / width,
    };
    Some(mean_day(&bins, layout))
}

#[cfg(test)]
mod tests;
