//! The losses alone against PyTorch's values and gradients (tests/reference/loss_reference.py).

use aglet::train::data::truth::Truth;
use aglet::train::net::parameters::LOGIT_BIAS;
use aglet::train::net::parameters::Parameters;
use aglet::train::optim::loss::{self, LossKind};
use burn::tensor::{Device, Tensor, TensorData};

use super::{furthest, reference};

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    Contrastive,
    Siglip,
    Classification,
    Drift,
}

#[derive(serde::Deserialize)]
struct Case {
    kind: Named,
    rows: usize,
    truth: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    value: f32,
    da: Vec<f32>,
    db: Vec<f32>,
    dscale: Vec<f32>,
    dbias: Vec<f32>,
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let text = std::fs::read_to_string(reference("loss_reference.json"))
        .expect("recorded by loss_reference.py");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("as recorded");
    let count = |kind| cases.iter().filter(|case| case.kind == kind).count();
    assert_eq!(
        [
            Named::Contrastive,
            Named::Siglip,
            Named::Classification,
            Named::Drift
        ]
        .map(count),
        [6, 6, 2, 1]
    );
    for (number, case) in cases.iter().enumerate() {
        let device = Device::flex().autodiff();
        let width = case.a.len() / case.rows;
        let matrix = |values: &Vec<f32>| {
            Tensor::<2>::from_data(TensorData::new(values.clone(), [case.rows, width]), &device)
                .require_grad()
        };
        let one = |values: &Vec<f32>| {
            Tensor::<1>::from_data(TensorData::new(values.clone(), [1]), &device).require_grad()
        };
        let (a, b, scale, bias) = (
            matrix(&case.a),
            matrix(&case.b),
            one(&case.scale),
            one(&case.bias),
        );
        let right = |row: usize, column: usize| case.truth[row * case.rows + column] > 0.5;
        let truth = || Truth::new(case.rows, case.rows, right);
        let value = match case.kind {
            Named::Contrastive => {
                loss::contrastive(a.clone(), b.clone(), scale.clone(), &truth(), &device)
            }
            Named::Siglip => loss::siglip(
                a.clone(),
                b.clone(),
                scale.clone(),
                bias.clone(),
                &truth(),
                &device,
            ),
            Named::Drift => loss::drift(a.clone(), &case.b, &device),
            Named::Classification => {
                let class = |row| {
                    (0..case.rows)
                        .find(|&column| right(row, column))
                        .expect("one is right")
                };
                let classes: Vec<usize> = (0..case.rows).map(class).collect();
                loss::classification(a.clone(), b.clone(), scale.clone(), &classes, &device)
            }
        };
        let found = value.clone().into_scalar::<f32>();
        assert!(
            (found - case.value).abs() < 1e-5 * (1.0 + case.value),
            "case {number}: {found} {}",
            case.value
        );
        let gradients = value.backward();
        let close = |name: &str, found: Vec<f32>, wanted: &Vec<f32>| {
            let largest = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!(largest > 0.0, "case {number}: nothing recorded for {name}");
            let error = furthest(&found, wanted);
            assert!(
                error < 2e-5 * largest.max(1.0),
                "case {number}, {name}: {found:?} {wanted:?}"
            );
        };
        let values = |gradient: Option<Tensor<2>>| {
            gradient
                .expect("takes part")
                .try_into_vec_as::<f32>()
                .expect("gradients are f32")
        };
        close("a", values(a.grad(&gradients)), &case.da);
        if case.kind == Named::Drift {
            continue;
        }
        close("b", values(b.grad(&gradients)), &case.db);
        close(
            "scale",
            values(scale.grad(&gradients).map(Tensor::unsqueeze)),
            &case.dscale,
        );
        if case.kind == Named::Siglip {
            close(
                "bias",
                values(bias.grad(&gradients).map(Tensor::unsqueeze)),
                &case.dbias,
            );
        }
    }
}

#[test]
fn siglip_begins_where_its_paper_does_and_leaves_nothing_in_a_model() {
    let recorded = super::recorded_step();
    let mut parameters = recorded.before.clone();
    loss::begin(LossKind::Siglip, &mut parameters);
    let one =
        |parameters: &Parameters, name: &str| parameters.get(name).expect("is there").values[0];
    assert!((one(&parameters, "logit_scale") - 10.0_f32.ln()).abs() < 1e-6);
    assert!((one(&parameters, LOGIT_BIAS) + 10.0).abs() < 1e-6);
    let plain = super::Training::default().plain(&parameters).into_owned();
    assert_eq!(plain.0.len(), recorded.before.0.len());
    assert!(plain.get(LOGIT_BIAS).is_none());
    let weights = super::LossWeights {
        kind: LossKind::Siglip,
        ..super::WEIGHTS
    };
    let (losses, gradients) = aglet::train::run::step::gradients(
        &recorded.config,
        &parameters,
        &recorded.batch,
        weights,
        &super::Training::default(),
    );
    assert!(losses.total.is_finite() && gradients.iter().all(Option::is_some));
}
