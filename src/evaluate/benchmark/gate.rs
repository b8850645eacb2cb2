//! Gates: the least value of a figure with which a pipeline goes on.

use super::document::Document;

/// A figure below which the command fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    pub figure: String,
    pub least: f64,
}

/// How a gate went.
#[derive(Clone, Debug, PartialEq)]
pub struct GateResult {
    pub gate: Gate,
    /// `None`: there is no such figure, which fails the gate.
    pub value: Option<f64>,
}

impl std::str::FromStr for Gate {
    type Err = String;

    /// `NAME=VALUE`, as in `c=0.35`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (figure, least) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not of the form c=0.35"))?;
        let least: f64 = least
            .trim()
            .parse()
            .map_err(|_| format!("{least:?} is not a number"))?;
        if !(0.0..=1.0).contains(&least) {
            return Err(format!("{least} is not a share: give a number from 0 to 1"));
        }
        Ok(Self {
            figure: figure.trim().to_owned(),
            least,
        })
    }
}

impl Gate {
    /// Holds every gate against the document's figures.
    #[must_use]
    pub fn check_all(gates: &[Self], document: &Document) -> Vec<GateResult> {
        let check = |gate: &Self| GateResult {
            gate: gate.clone(),
            value: document.figure(&gate.figure).map(|e| e.value),
        };
        gates.iter().map(check).collect()
    }
}

impl GateResult {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.value.is_some_and(|v| v >= self.gate.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_and_judged() {
        let gate: Gate = "c=0.35".parse().expect("a gate");
        assert_eq!(
            gate,
            Gate {
                figure: "c".to_owned(),
                least: 0.35
            }
        );
        for bad in ["c", "c=x", "c=35", "c=-0.1"] {
            assert!(bad.parse::<Gate>().is_err(), "{bad}");
        }
        let result = |value| GateResult {
            gate: gate.clone(),
            value,
        };
        assert!(result(Some(0.35)).passed());
        assert!(!result(Some(0.349)).passed());
        assert!(
            !result(None).passed(),
            "a figure that does not exist fails the gate"
        );
    }
}
