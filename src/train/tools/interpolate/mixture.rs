//! Models between two models, and the mean of several, parameter by parameter.
//!
//! All of them must have the same parameters of the same shapes. A tuned model with a larger input
//! has a larger table of positions and is refused: resize the base's table to the larger input first
//! ([`positions::resized`]).

use crate::train::net::parameters::{Parameter, Parameters};
use crate::train::net::positions;

#[derive(Debug, thiserror::Error)]
pub enum MixtureError {
    #[error("{name} is in the {only} model alone: the models have different parameters")]
    Names { name: String, only: &'static str },
    #[error("{name} has shape {base:?} in the base and {tuned:?} in the tuned model")]
    Shape {
        name: String,
        base: Vec<usize>,
        tuned: Vec<usize>,
    },
    #[error(
        "{name} has {base} positions in the base and {tuned} in the tuned model: their input sizes differ. \
         Bring the base to the tuned model's input size first"
    )]
    Positions {
        name: String,
        base: usize,
        tuned: usize,
    },
    #[error("a share of {0} is not between 0 and 1")]
    Share(f32),
}

/// Checks that the two have the same parameters of the same shapes.
fn check(base: &Parameters, tuned: &Parameters) -> Result<(), MixtureError> {
    for (list, other, only) in [(base, tuned, "base"), (tuned, base, "tuned")] {
        if let Some(lone) = list.0.iter().find(|p| other.get(&p.name).is_none()) {
            return Err(MixtureError::Names {
                name: lone.name.clone(),
                only,
            });
        }
    }
    for (b, t) in base.0.iter().filter_map(|b| Some((b, tuned.get(&b.name)?))) {
        let (name, base, tuned) = (b.name.clone(), b.shape.clone(), t.shape.clone());
        if base != tuned && name == positions::TABLE {
            return Err(MixtureError::Positions {
                name,
                base: base[0],
                tuned: tuned[0],
            });
        }
        if base != tuned {
            return Err(MixtureError::Shape { name, base, tuned });
        }
    }
    Ok(())
}

/// The model at `alpha` of the way from `base` (0) to `tuned` (1), its text tower at `text_share`
/// of that way. Where that is 1 the ends are exactly the two.
///
/// # Errors
/// If the models have different parameters, or `alpha` or `text_share` is not between 0 and 1.
///
/// # Panics
/// Never: the names are compared before.
pub fn between(
    base: &Parameters,
    tuned: &Parameters,
    alpha: f32,
    text_share: f32,
) -> Result<Parameters, MixtureError> {
    if let Some(&wrong) = [alpha, text_share]
        .iter()
        .find(|share| !(0.0..=1.0).contains(*share))
    {
        return Err(MixtureError::Share(wrong));
    }
    check(base, tuned)?;
    let mix = |b: &Parameter| {
        let t = tuned.get(&b.name).expect("checked");
        let alpha = if b.name.starts_with("text_") {
            alpha * text_share
        } else {
            alpha
        };
        // Written so that both ends are exact: x * 1 + y * 0 is x for every finite y.
        let values = b
            .values
            .iter()
            .zip(&t.values)
            .map(|(b, t)| b * (1.0 - alpha) + t * alpha)
            .collect();
        Parameter {
            name: b.name.clone(),
            shape: b.shape.clone(),
            values,
        }
    };
    Ok(Parameters(base.0.iter().map(mix).collect()))
}

/// The mean of models of one kind, parameter by parameter.
///
/// # Errors
/// If they have different parameters.
///
/// # Panics
/// If there are none.
pub fn mean(models: &[Parameters]) -> Result<Parameters, MixtureError> {
    let mut mean = models.first().expect("at least one model").clone();
    for (before, model) in (1_u16..).zip(&models[1..]) {
        mean = between(&mean, model, 1.0 / (f32::from(before) + 1.0), 1.0)?;
    }
    Ok(mean)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A model of two parameters.
    pub(in super::super) fn model(values: [f32; 2]) -> Parameters {
        let parameter = |name: &str, shape: &[usize], value: f32| Parameter {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![value; shape.iter().product()],
        };
        Parameters(vec![
            parameter(
                "vision_model.embeddings.position_embedding.weight",
                &[2, 3],
                values[0],
            ),
            parameter("logit_scale", &[], values[1]),
        ])
    }

    #[test]
    fn the_ends_are_the_two_models_exactly_and_the_middle_is_between() {
        let (base, tuned) = (model([0.1, 3.3]), model([-0.7, 1e-9]));
        assert_eq!(between(&base, &tuned, 0.0, 1.0).expect("of one kind"), base);
        assert_eq!(
            between(&base, &tuned, 1.0, 1.0).expect("of one kind"),
            tuned
        );
        let middle =
            between(&model([1.0, 2.0]), &model([3.0, -2.0]), 0.25, 1.0).expect("of one kind");
        assert_eq!(middle, model([1.5, 1.0]));
        let mut words = model([1.0, 2.0]);
        words.0[1].name = "text_projection.weight".into();
        let mut tuned_words = model([3.0, -2.0]);
        tuned_words.0[1].name = "text_projection.weight".into();
        let middle = between(&words, &tuned_words, 0.5, 0.5).expect("of one kind");
        assert_eq!(
            (middle.0[0].values[0], middle.0[1].values[0]),
            (2.0, 1.0),
            "words go half as far"
        );
        assert!(matches!(
            between(&base, &tuned, 0.5, -0.1),
            Err(MixtureError::Share(_))
        ));
        assert!(matches!(
            between(&base, &tuned, 1.5, 1.0),
            Err(MixtureError::Share(_))
        ));
        assert!(matches!(
            between(&base, &tuned, f32::NAN, 1.0),
            Err(MixtureError::Share(_))
        ));
    }

    #[test]
    fn a_soup_is_the_mean_of_its_models() {
        let soup =
            mean(&[model([1.0, 6.0]), model([2.0, 0.0]), model([6.0, -3.0])]).expect("of one kind");
        for (parameter, mean) in soup.0.iter().zip([3.0, 1.0]) {
            assert!(
                parameter.values.iter().all(|v| (v - mean).abs() < 1e-6),
                "{parameter:?}"
            );
        }
        assert_eq!(mean(&[model([0.1, 3.3])]).expect("one"), model([0.1, 3.3]));
        let lone = Parameters(vec![model([0.0, 0.0]).0[1].clone()]);
        assert!(matches!(
            mean(&[model([0.0, 0.0]), lone]),
            Err(MixtureError::Names { .. })
        ));
    }

    #[test]
    fn models_of_two_kinds_are_refused_by_name() {
        let base = model([0.0, 0.0]);
        let mut tuned = base.clone();
        tuned.0[0].shape = vec![5, 3];
        tuned.0[0].values = vec![0.0; 15];
        let error = between(&base, &tuned, 0.5, 1.0).expect_err("another input");
        assert!(
            matches!(
                error,
                MixtureError::Positions {
                    base: 2,
                    tuned: 5,
                    ..
                }
            ),
            "{error}"
        );
        tuned.0[1].shape = vec![2];
        tuned.0.swap_remove(0);
        assert!(matches!(
            between(&base, &tuned, 0.5, 1.0),
            Err(MixtureError::Names { only: "base", .. })
        ));
        assert!(matches!(
            between(&tuned, &base, 0.5, 1.0),
            Err(MixtureError::Names { only: "tuned", .. })
        ));
        let base = Parameters(vec![base.0[1].clone()]);
        assert!(matches!(
            between(&base, &tuned, 0.5, 1.0),
            Err(MixtureError::Shape { .. })
        ));
    }
}
