//! Order statistics of windows that move by one epoch; missing epochs take no part.

/// The values of a window, smallest first.
#[derive(Default)]
pub(super) struct Sorted(Vec<f64>);

impl Sorted {
    pub(super) fn insert(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            let at = self.0.partition_point(|held| *held < value);
            self.0.insert(at, value);
        }
    }

    pub(super) fn remove(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            let at = self.0.partition_point(|held| *held < value);
            self.0.remove(at);
        }
    }

    /// Removes `old` and inserts `new`, moving only what lies between their places.
    fn replace(&mut self, old: Option<f64>, new: Option<f64>) {
        let (Some(old), Some(new)) = (old, new) else {
            self.remove(old);
            self.insert(new);
            return;
        };
        let from = self.0.partition_point(|held| *held < old);
        let to = self.0.partition_point(|held| *held < new);
        if to > from {
            self.0[from..to].rotate_left(1);
            self.0[to - 1] = new;
        } else {
            self.0[to..=from].rotate_right(1);
            self.0[to] = new;
        }
    }

    /// The median, if there are at least `observed_min` values and any at all.
    pub(super) fn median(&self, observed_min: usize) -> Option<f64> {
        let length = self.0.len();
        let (low, high) = (self.0.get(length.wrapping_sub(1) / 2)?, self.0.get(length / 2)?);
        (length >= observed_min).then(|| f64::midpoint(*low, *high))
    }
}

/// For each epoch, the median of the epochs from `reach(i)` before to `reach(i)` after it, as far as the series goes; `None`
/// where fewer than `observed_min` of them were observed. From one epoch to the next, `reach` changes by at most 1.
pub(super) fn medians(
    x: &[Option<f64>],
    reach: impl Fn(usize) -> usize,
    observed_min: usize,
) -> Vec<Option<f64>> {
    let mut window = Sorted::default();
    let (mut start, mut end) = (0, 0);
    let median = |index: usize| {
        let (new_start, new_end) =
            (index.saturating_sub(reach(index)), (index + reach(index) + 1).min(x.len()));
        if (new_start, new_end) == (start + 1, end + 1) {
            window.replace(x[start], x[end]);
            (start, end) = (new_start, new_end);
            return window.median(observed_min);
        }
        // The end moves first, so that nothing is removed before it was inserted.
        (end..new_end).for_each(|index| window.insert(x[index]));
        (new_end..end).for_each(|index| window.remove(x[index]));
        (start..new_start).for_each(|index| window.remove(x[index]));
        (new_start..start).for_each(|index| window.insert(x[index]));
        (start, end) = (new_start, new_end);
        window.median(observed_min)
    };
    (0..x.len()).map(median).collect()
}

/// The quantile `q` of what was observed, interpolated linearly between the two nearest (Hyndman and Fan 1996, type 7).
pub(super) fn quantile(x: impl Iterator<Item = Option<f64>>, q: f64) -> Option<f64> {
    let mut observed: Vec<f64> = x.flatten().collect();
    let place = q * observed.len().checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place lies in the list")]
    let below = place.floor() as usize;
    let (_, low, above) = observed.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().reduce(f64::min).unwrap_or(low);
    Some(low + (high - low) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn medians_and_quantiles_by_hand() {
        let x = [Some(5.0), None, Some(1.0), Some(9.0), Some(9.0)];
        assert_eq!(medians(&x, |_| 1, 1), [Some(5.0), Some(3.0), Some(5.0), Some(9.0), Some(9.0)]);
        assert_eq!(medians(&x, |_| 1, 2), [None, Some(3.0), Some(5.0), Some(9.0), Some(9.0)]);
        assert_eq!(medians(&x, |index| index.min(4 - index), 1)[2], Some(7.0));
        assert_eq!(medians(&[None], |_| 3, 0), [None]);
        assert_eq!(quantile(x.into_iter(), 0.5), Some(7.0));
        assert_eq!(quantile(x.into_iter(), 0.25), Some(4.0));
        assert_eq!(quantile(x.into_iter(), 1.0), Some(9.0));
        assert_eq!(quantile([None].into_iter(), 0.5), None);
    }

    proptest! {
        #[test]
        fn moving_medians_are_those_of_each_window(
            x in prop::collection::vec(prop::option::weighted(0.9, 0..9_u8), 0..60), reach in 0..20_usize, min in 0..9_usize,
        ) {
            let x: Vec<Option<f64>> = x.into_iter().map(|x| x.map(f64::from)).collect();
            for (index, found) in medians(&x, |_| reach, min).into_iter().enumerate() {
                let window = &x[index.saturating_sub(reach)..(index + reach + 1).min(x.len())];
                let mut window: Vec<f64> = window.iter().copied().flatten().collect();
                window.sort_by(f64::total_cmp);
                let n = window.len();
                let expected = (n > 0 && n >= min).then(|| f64::midpoint(window[(n - 1) / 2], window[n / 2]));
                prop_assert_eq!(found, expected);
            }
        }
    }
}
