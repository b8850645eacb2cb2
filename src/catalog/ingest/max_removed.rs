//! How much an import may take away.

use std::fmt;
use std::str::FromStr;

/// How many products, and how many pictures, one import may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxRemoved {
    Number(u64),
    /// Of what the catalog has, rounded up.
    Percent(u8),
}

impl Default for MaxRemoved {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl MaxRemoved {
    pub(super) fn of(self, all: u64) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => all.saturating_mul(percent.into()).div_ceil(100),
        }
    }
}

impl fmt::Display for MaxRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a number such as 50 nor a share from 0% to 100%")]
pub struct MaxRemovedError(String);

impl FromStr for MaxRemoved {
    type Err = MaxRemovedError;

    fn from_str(text: &str) -> Result<Self, MaxRemovedError> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|p| *p <= 100)
                .map(Self::Percent),
            None => text.parse().ok().map(Self::Number),
        };
        parsed.ok_or_else(|| MaxRemovedError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share_that_is_rounded_up() {
        let of = |text: &str, all| text.parse::<MaxRemoved>().map(|max| max.of(all));
        assert_eq!(of("50", 300), Ok(50));
        assert_eq!(of("10%", 300), Ok(30));
        assert_eq!(of("10%", 301), Ok(31));
        assert_eq!(of("10%", 1), Ok(1));
        assert_eq!(of("0%", 300), Ok(0));
        assert_eq!(of("100%", u64::MAX / 100), Ok(u64::MAX / 100));
        for wrong in ["", "%", "-1", "101%", "ten", "1.5%", "10 %"] {
            let error = of(wrong, 1).expect_err(wrong);
            assert!(error.to_string().contains("100%"), "{error}");
        }
        let default = MaxRemoved::default();
        assert_eq!(default.to_string().parse(), Ok(default));
    }
}
