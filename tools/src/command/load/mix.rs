//! Which operations are sent, in what proportion.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What one request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// GetObject, of the whole object.
    Get,
    /// PutObject.
    Put,
    /// HeadObject.
    Head,
    /// DeleteObject.
    Delete,
    /// ListObjectsV2, one page of up to 1000 keys from a key chosen at random.
    List,
}

impl Operation {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] = [Self::Get, Self::Put, Self::Head, Self::Delete, Self::List];

    /// The word typed and printed for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// Why a mix cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixError {
    /// A part is no `operation=weight`.
    NotAPair,
    /// There is no such operation.
    UnknownOperation,
    /// A weight is no whole number.
    NotANumber,
    /// All weights are zero.
    Empty,
}

impl fmt::Display for MixError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAPair => "a mix is written as in get=80,put=20",
            Self::UnknownOperation => "the operations are get, put, head, delete and list",
            Self::NotANumber => "a weight is a whole number",
            Self::Empty => "at least one weight must be above zero",
        })
    }
}

impl std::error::Error for MixError {}

/// Operations with their weights, of which at least one is above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Operation, u32)>,
    total: u64,
}

impl Mix {
    /// Nothing but `operation`.
    #[must_use]
    pub fn only(operation: Operation) -> Self {
        Self { weights: vec![(operation, 1)], total: 1 }
    }

    /// The operation that a random number stands for, each as often as its weight says.
    #[must_use]
    pub fn choose(&self, random: u64) -> Operation {
        let mut point = random.checked_rem(self.total).unwrap_or(0);
        for (operation, weight) in &self.weights {
            match point.checked_sub(u64::from(*weight)) {
                Some(beyond) => point = beyond,
                None => return *operation,
            }
        }
        unreachable!("the point is below the sum of the weights")
    }

    /// Whether `operation` is ever sent.
    #[must_use]
    pub fn has(&self, operation: Operation) -> bool {
        self.weights.iter().any(|(found, _)| *found == operation)
    }

    /// Whether objects must exist beforehand: for everything but writing.
    #[must_use]
    pub fn needs_objects(&self) -> bool {
        self.weights.iter().any(|(operation, _)| *operation != Operation::Put)
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or(MixError::NotAPair)?;
            let operation = Operation::ALL.into_iter().find(|operation| operation.name() == name.trim());
            let operation = operation.ok_or(MixError::UnknownOperation)?;
            let weight = weight.trim().parse().map_err(|_error| MixError::NotANumber)?;
            if weight > 0 {
                weights.push((operation, weight));
            }
        }
        let total = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if total == 0 {
            return Err(MixError::Empty);
        }
        Ok(Self { weights, total })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.weights.iter().map(|(operation, weight)| format!("{}={weight}", operation.name()));
        formatter.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_comes_as_often_as_its_weight_says() {
        let mix: Mix = "get=80,put=15,list=5".parse().unwrap();
        let count = |operation| (0..100).filter(|random| mix.choose(*random) == operation).count();
        assert_eq!(Operation::ALL.map(count), [80, 15, 0, 0, 5]);
        assert_eq!(mix.choose(u64::MAX), mix.choose(u64::MAX % 100));
        assert_eq!(mix.to_string(), "get=80,put=15,list=5");
    }

    #[test]
    fn only_writing_needs_no_objects() {
        assert!(!Mix::only(Operation::Put).needs_objects());
        assert!("put=1,get=1".parse::<Mix>().unwrap().needs_objects());
        assert!(!"put=1,get=0".parse::<Mix>().unwrap().has(Operation::Get));
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        let cases = [
            ("", MixError::NotAPair),
            ("get", MixError::NotAPair),
            ("fetch=1", MixError::UnknownOperation),
            ("get=many", MixError::NotANumber),
            ("get=0", MixError::Empty),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Mix>(), Err(error), "{text}");
        }
    }
}
