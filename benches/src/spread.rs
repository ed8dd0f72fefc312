//! Figures of several rounds in one: the median, and how far they lie apart.
//!
//! Two things are compared round by round: both figures of a ratio were measured within seconds, so what slows the
//! whole machine slows both. A ratio of two medians would hide how much the rounds disagree.

use std::fmt;

/// The middle and the ends of several figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one; of an even count the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Spread {
    /// Of these figures, leaving out what is no number. `None` when nothing is left.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() >> 1;
        let lower = sorted.len().saturating_sub(1) >> 1;
        let median = f64::midpoint(*sorted.get(lower)?, *sorted.get(upper)?);
        Some(Self { median, low, high })
    }

    /// Of the ratios of `these` to `those`, round by round.
    #[must_use]
    pub fn of_ratios(these: &[f64], those: &[f64]) -> Option<Self> {
        Self::of(these.iter().zip(those).map(|(this, that)| this / that))
    }
}

/// Three digits that count, as a person reads them.
#[must_use]
pub fn short(figure: f64) -> String {
    if !figure.is_finite() {
        return "-".to_owned();
    }
    match figure.abs() {
        at_least if at_least >= 99.5 => format!("{figure:.0}"),
        at_least if at_least >= 9.95 => format!("{figure:.1}"),
        at_least if at_least >= 0.995 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}–{})", short(self.median), short(self.low), short(self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_found() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(spread(&[7.0, f64::NAN]), Some(Spread { median: 7.0, low: 7.0, high: 7.0 }));
        assert_eq!((spread(&[]), spread(&[f64::INFINITY])), (None, None));
    }

    #[test]
    fn a_machine_that_slows_down_changes_no_ratio() {
        let (ours, theirs) = ([10.0, 20.0, 40.0], [5.0, 10.0, 20.0]);
        assert_eq!(Spread::of_ratios(&ours, &theirs), Some(Spread { median: 2.0, low: 2.0, high: 2.0 }));
        // The ratio of the medians would be 3.0 / 2.0, whatever the rounds say.
        let spread = Spread::of_ratios(&[1.0, 3.0, 9.0], &[2.0, 1.0, 3.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (3.0, 0.5, 3.0));
    }

    #[test]
    fn three_digits_count() {
        let texts: Vec<_> = [1234.5, 99.51, 12.345, 1.0, 0.1234, f64::NAN].map(short).into();
        assert_eq!(texts, ["1234", "100", "12.3", "1.00", "0.123", "-"]);
        assert_eq!(Spread { median: 1.5, low: 1.0, high: 20.0 }.to_string(), "1.50 (1.00–20.0)");
    }
}
