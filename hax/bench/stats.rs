//! Medians and percentiles of small samples.

/// Measured values, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample(Vec<f64>);

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }
}

impl Sample {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that at least `percent` of all are not above (nearest rank); `None`
    /// without values.
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent.min(100)).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The middle value, or the mean of the two.
    pub(super) fn median(&self) -> Option<f64> {
        let above = *self.0.get(self.0.len() / 2)?;
        let below = *self.0.get((self.0.len() - 1) / 2)?;
        Some(f64::midpoint(below, above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: impl IntoIterator<Item = u32>) -> Sample {
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let hundred = sample((1..=100).rev());
        assert_eq!(hundred.percentile(50), Some(50.0));
        assert_eq!(hundred.percentile(99), Some(99.0));
        assert_eq!(hundred.percentile(100), Some(100.0));
        assert_eq!(hundred.percentile(0), Some(1.0));
        assert_eq!(sample([7, 3, 5]).percentile(99), Some(7.0));
        assert_eq!(sample([7]).percentile(50), Some(7.0));
        assert_eq!(sample([]).percentile(50), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(sample([9, 1, 5]).median(), Some(5.0));
        assert_eq!(sample([9, 1, 5, 6]).median(), Some(5.5));
        assert_eq!(sample([]).median(), None);
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let sample: Sample = [1.0, f64::NAN, f64::INFINITY, 3.0].into_iter().collect();
        assert_eq!((sample.len(), sample.median()), (2, Some(2.0)));
    }
}
