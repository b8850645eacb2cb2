//! Low-rank adaptation (arXiv 2106.09685): the base stays as it is, and beside each chosen matrix
//! `W` (`out x in`) two thin ones are trained, `A` (`rank x in`, random) and `B` (`out x rank`,
//! zero), so that the layer computes `x (W + alpha/rank B A)^T + bias`. At the first step nothing
//! has changed, and what fine-tuning may change is bounded by the rank.
//!
//! The pairs are parameters like all others, named as PEFT names them (`NAME.lora_A.weight`,
//! `NAME.lora_B.weight`): gradients, optimizer, averaging and checkpoints treat them as such.
//! Before validation and export they are added to the matrices ([`merged`]); the result has the base's
//! names and shapes and costs nothing more to run. The average of a run is that of `A` and of `B`,
//! each on its own.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Parameters};
use crate::train::draws::{Purpose, Stream};

/// The recipe's `[training.lora]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    pub rank: usize,
    /// What `B A` counts is `alpha / rank`.
    pub alpha: f32,
    /// Which matrices of each layer, of those in [`TARGETS`].
    pub on: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            on: vec!["q_proj".to_owned(), "v_proj".to_owned()],
        }
    }
}

/// The matrices of a layer, by the last part of their names.
pub const TARGETS: [&str; 6] = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"];

const DOWN: &str = "lora_A.weight";
const UP: &str = "lora_B.weight";

/// Whether a name is that of an adapter's matrix.
#[must_use]
pub fn is_adapter(name: &str) -> bool {
    name.ends_with(DOWN) || name.ends_with(UP)
}

/// The names of the two matrices beside the layer `name` (without `.weight`).
#[must_use]
pub fn names(layer: &str) -> (String, String) {
    (format!("{layer}.{DOWN}"), format!("{layer}.{UP}"))
}

impl Lora {
    /// What `B A` is multiplied by.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// What is wrong with the settings, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let known = self.on.iter().all(|name| TARGETS.contains(&name.as_str()));
        let checks = [
            (
                (1..=4096).contains(&self.rank),
                "rank is between 1 and 4096".to_owned(),
            ),
            (
                self.alpha > 0.0 && self.alpha.is_finite(),
                "alpha is positive".to_owned(),
            ),
            (
                known && !self.on.is_empty(),
                format!("on names some of {}", TARGETS.join(", ")),
            ),
        ];
        checks
            .into_iter()
            .filter(|(right, _)| !right)
            .map(|(_, rule)| format!("training.lora: {rule}"))
            .collect()
    }

    /// Appends a pair for each chosen matrix whose name `moves` accepts: `A` uniform in
    /// +-1/sqrt(in) (as PEFT and the paper's own code draw it), `B` zero.
    pub fn attach(&self, parameters: &mut Parameters, seed: u64, moves: impl Fn(&str) -> bool) {
        let mut draws = Stream::new(seed, Purpose::Adapters, 0);
        let mut pairs = Vec::new();
        for parameter in &parameters.0 {
            let Some(layer) = parameter.name.strip_suffix(".weight") else {
                continue;
            };
            let chosen = layer.contains(".layers.")
                && self.on.iter().any(|o| layer.rsplit('.').next() == Some(o));
            if !chosen || !moves(&parameter.name) {
                continue;
            }
            let (rows, columns) = (parameter.shape[0], parameter.shape[1]);
            #[expect(clippy::cast_precision_loss, reason = "widths are small")]
            let bound = 1.0 / (columns as f32).sqrt();
            let (down, up) = names(layer);
            let values = (0..self.rank * columns)
                .map(|_| draws.between(-bound, bound))
                .collect();
            pairs.push(Parameter {
                name: down,
                shape: vec![self.rank, columns],
                values,
            });
            pairs.push(Parameter {
                name: up,
                shape: vec![rows, self.rank],
                values: vec![0.0; rows * self.rank],
            });
        }
        parameters.0.extend(pairs);
    }
}

/// The weights with every pair added to its matrix, `W + scale B A`, and the pairs gone.
///
/// # Panics
/// If one of a pair is missing or does not fit its matrix; [`Lora::attach`] makes whole pairs.
#[must_use]
pub fn merged(parameters: &Parameters, scale: f32) -> Parameters {
    let (pairs, plain): (Vec<&Parameter>, Vec<_>) =
        parameters.0.iter().partition(|p| is_adapter(&p.name));
    let mut out = Parameters(plain.into_iter().cloned().collect());
    for up in pairs.iter().filter(|p| p.name.ends_with(UP)) {
        let layer = up.name.strip_suffix(UP).expect("filtered by it");
        let down = format!("{layer}{DOWN}");
        let down = pairs
            .iter()
            .find(|p| p.name == down)
            .expect("A is there where B is");
        let weight = out
            .get_mut(&format!("{layer}weight"))
            .expect("a pair's matrix is there");
        let (rank, columns) = (down.shape[0], down.shape[1]);
        assert_eq!(
            (up.values.len() / rank, columns),
            (weight.shape[0], weight.shape[1]),
            "{layer}"
        );
        for (row, up) in weight
            .values
            .chunks_exact_mut(columns)
            .zip(up.values.chunks_exact(rank))
        {
            for (&b, down) in up.iter().zip(down.values.chunks_exact(columns)) {
                row.iter_mut()
                    .zip(down)
                    .for_each(|(w, &a)| *w += scale * b * a);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Parameters {
        let matrix = |name: &str| Parameter {
            name: name.into(),
            shape: vec![2, 3],
            values: vec![1.0; 6],
        };
        Parameters(vec![
            matrix("text_model.encoder.layers.0.self_attn.q_proj.weight"),
            matrix("text_model.encoder.layers.0.self_attn.k_proj.weight"),
            matrix("vision_model.encoder.layers.0.self_attn.q_proj.weight"),
        ])
    }

    #[test]
    fn pairs_stand_beside_the_chosen_matrices_and_change_nothing_at_first() {
        let lora = Lora {
            rank: 2,
            alpha: 4.0,
            on: vec!["q_proj".into()],
        };
        let mut parameters = base();
        lora.attach(&mut parameters, 1, |name| name.starts_with("text_model"));
        let added: Vec<&str> = parameters.0[3..].iter().map(|p| p.name.as_str()).collect();
        let (down, up) = names("text_model.encoder.layers.0.self_attn.q_proj");
        assert_eq!(added, [down.as_str(), up.as_str()]);
        assert!(parameters.0[3].values.iter().any(|v| *v != 0.0));
        assert_eq!(merged(&parameters, lora.scale()), base());
        parameters.0[3].values = vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
        parameters.0[4].values = vec![1.0, 0.0, 0.0, 0.5];
        let found = merged(&parameters, lora.scale());
        assert_eq!(found.0[0].values, [3.0, 5.0, 7.0, 11.0, 21.0, 31.0]);
        assert_eq!(found.0[1..], base().0[1..]);
    }

    #[test]
    fn a_rank_of_nothing_and_a_matrix_that_is_none_are_refused() {
        assert!(Lora::default().problems().is_empty());
        let wrong = Lora {
            rank: 0,
            alpha: 0.0,
            on: vec!["norm".into()],
        };
        assert_eq!(wrong.problems().len(), 3);
        assert_eq!(
            Lora {
                on: Vec::new(),
                ..Lora::default()
            }
            .problems()
            .len(),
            1
        );
    }
}
