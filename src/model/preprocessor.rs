//! `preprocessor_config.json` (Hugging Face's `CLIPImageProcessor`, its older and newer layouts) ->
//! [`Preprocessing`].
//!
//! Fields that are left out take the defaults of `CLIPImageProcessor`. Two are ours: `aglet_fit`
//! (`"crop"`, `"pad"`, `"trim"`, `"squash"`) says how a photo becomes a square where center
//! cropping is not what the model was trained on, `aglet_views` (a list) how large that square is,
//! where the model sees the middle of several. `size` is one such view where it is larger than what
//! the model sees and `do_center_crop` holds. Refuses other resampling than bicubic, and a crop of
//! another size than the model's.

use serde_json::{Map, Value};

use crate::vision::{Fit, Preprocessing};

/// What OpenAI's CLIP takes off each channel and divides it by: the defaults of
/// `CLIPImageProcessor`.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// `PIL.Image.Resampling.BICUBIC`.
const BICUBIC: u64 = 3;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessorError {
    #[error("{0}")]
    Json(String),
    #[error("`{field}` is {found}, which is not supported (expected {expected})")]
    Value {
        field: &'static str,
        found: String,
        expected: String,
    },
}

impl Preprocessing {
    /// Reads the text of a `preprocessor_config.json`, or of the `processor_config.json` that newer
    /// transformers write, for a model whose image tower takes `image_size` pixels an edge.
    ///
    /// # Errors
    /// [`PreprocessorError`] for broken JSON and for steps that are not done here.
    pub fn parse(json: &[u8], image_size: usize) -> Result<Self, PreprocessorError> {
        let root: Map<String, Value> =
            serde_json::from_slice(json).map_err(|e| PreprocessorError::Json(e.to_string()))?;
        let fields = Fields(
            root.get("image_processor")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or(root),
        );
        let size = u32::try_from(image_size)
            .map_err(|_| unsupported("image_size", &image_size.into(), "a size"))?;
        fields.check_steps()?;
        let (fit, edge) = fields.square(size)?;
        let views = fields.views(size)?.unwrap_or(vec![edge]);
        let views = if views == [size] { Vec::new() } else { views };
        let (mean, std) = if fields.flag("do_normalize") {
            (
                fields.channels("image_mean", MEAN)?,
                fields.channels("image_std", STD)?,
            )
        } else {
            ([0.0; 3], [1.0; 3])
        };
        if let Some(bad) = std.iter().find(|&&v| v <= 0.0) {
            return Err(unsupported(
                "image_std",
                &Value::from(*bad),
                "positive numbers",
            ));
        }
        Ok(Self {
            size,
            fit,
            views,
            mean,
            std,
        })
    }
}

fn unsupported(
    field: &'static str,
    found: &Value,
    expected: impl Into<String>,
) -> PreprocessorError {
    PreprocessorError::Value {
        field,
        found: found.to_string(),
        expected: expected.into(),
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// A step that is done unless the file says otherwise.
    fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Value::as_bool).unwrap_or(true)
    }

    fn check_steps(&self) -> Result<(), PreprocessorError> {
        for step in ["do_resize", "do_rescale"] {
            if !self.flag(step) {
                return Err(unsupported(step, &Value::Bool(false), "true"));
            }
        }
        if let Some(value) = self.get("resample")
            && value.as_u64() != Some(BICUBIC)
        {
            return Err(unsupported("resample", value, "3, bicubic"));
        }
        if let Some(value) = self.get("rescale_factor")
            && value
                .as_f64()
                .is_none_or(|factor| (factor * 255.0 - 1.0).abs() > 1e-6)
        {
            return Err(unsupported("rescale_factor", value, "1/255"));
        }
        Ok(())
    }

    /// How a photo becomes a square, and that square's edge.
    fn square(&self, size: u32) -> Result<(Fit, u32), PreprocessorError> {
        let model = Extent {
            shortest: false,
            edges: [size, size],
        };
        let resize = self.extent("size")?.unwrap_or(Extent {
            shortest: true,
            edges: [size, size],
        });
        let cut = self.flag("do_center_crop");
        let crop = if cut {
            self.extent("crop_size")?.unwrap_or(model)
        } else {
            model
        };
        let refused = |field, expected| {
            Err(unsupported(
                field,
                self.get(field).unwrap_or(&Value::Null),
                expected,
            ))
        };
        if crop.edges != model.edges {
            return refused("crop_size", format!("{size}, the model's image size"));
        }
        let [edge, other] = resize.edges;
        if edge != other || edge < size || (edge > size && !cut) {
            return refused(
                "size",
                format!("{size}, the model's image size, or with do_center_crop more"),
            );
        }
        let fit = match (self.get("aglet_fit"), resize.shortest, cut) {
            (Some(value), ..) => serde_json::from_value(value.clone())
                .map_err(|_| unsupported("aglet_fit", value, "crop, pad, trim or squash"))?,
            (None, true, true) => Fit::Crop,
            (None, true, false) => {
                return refused(
                    "do_center_crop",
                    "true: images must become square".to_owned(),
                );
            }
            (None, false, _) => Fit::Squash,
        };
        Ok((fit, edge))
    }

    fn views(&self, size: u32) -> Result<Option<Vec<u32>>, PreprocessorError> {
        let Some(value) = self.get("aglet_views") else {
            return Ok(None);
        };
        let most = Preprocessing::MOST_VIEWS;
        match serde_json::from_value::<Vec<u32>>(value.clone()) {
            Ok(edges)
                if (1..=most).contains(&edges.len()) && edges.iter().all(|&edge| edge >= size) =>
            {
                Ok(Some(edges))
            }
            _ => Err(unsupported(
                "aglet_views",
                value,
                format!("1 to {most} edges, each of {size} pixels at least"),
            )),
        }
    }

    /// `size` and `crop_size`: an integer (older; for `size` the shortest edge), `{shortest_edge}`
    /// or `{height, width}`.
    fn extent(&self, field: &'static str) -> Result<Option<Extent>, PreprocessorError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let edge = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let one = edge(value).or_else(|| value.get("shortest_edge").and_then(edge));
        let extent = match (
            one,
            value.get("height").and_then(edge),
            value.get("width").and_then(edge),
        ) {
            (Some(n), _, _) => Some(Extent {
                shortest: field == "size",
                edges: [n, n],
            }),
            (None, Some(height), Some(width)) => Some(Extent {
                shortest: false,
                edges: [height, width],
            }),
            _ => None,
        };
        extent.map(Some).ok_or_else(|| {
            unsupported(
                field,
                value,
                "an integer, {shortest_edge} or {height, width}",
            )
        })
    }

    fn channels(
        &self,
        field: &'static str,
        default: [f32; 3],
    ) -> Result<[f32; 3], PreprocessorError> {
        let Some(value) = self.get(field) else {
            return Ok(default);
        };
        serde_json::from_value(value.clone())
            .map_err(|_| unsupported(field, value, "three numbers"))
    }
}

#[derive(Clone, Copy)]
struct Extent {
    /// Only the shortest edge is given; the aspect ratio stays.
    shortest: bool,
    edges: [u32; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Preprocessing, PreprocessorError> {
        Preprocessing::parse(json.as_bytes(), 224)
    }

    #[test]
    fn old_and_new_layouts_say_the_same() {
        let old = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}"#;
        let new = r#"{"crop_size": {"height": 224, "width": 224}, "do_convert_rgb": true, "do_rescale": true,
            "image_processor_type": "CLIPImageProcessor", "rescale_factor": 0.00392156862745098,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
            "size": {"shortest_edge": 224}}"#;
        let newest = format!(r#"{{"image_processor": {new}, "processor_class": "CLIPProcessor"}}"#);
        let expected = Preprocessing {
            size: 224,
            fit: Fit::Crop,
            views: vec![],
            mean: MEAN,
            std: STD,
        };
        for json in [old, new, &newest, "{}"] {
            assert_eq!(parse(json), Ok(expected.clone()), "{json}");
        }
    }

    #[test]
    fn squares_without_cropping() {
        let squash = parse(r#"{"size": {"height": 224, "width": 224}, "do_center_crop": false}"#)
            .expect("valid");
        assert_eq!(squash.fit, Fit::Squash);
        assert_eq!(
            parse(r#"{"aglet_fit": "pad"}"#).expect("valid").fit,
            Fit::Pad
        );
        let plain = Preprocessing {
            size: 224,
            fit: Fit::Crop,
            views: vec![],
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        assert_eq!(parse(r#"{"do_normalize": false}"#), Ok(plain));
    }

    #[test]
    fn middles_of_larger_squares() {
        for (json, fit, edges) in [
            (r#"{"size": 256}"#, Fit::Crop, &[256][..]),
            (
                r#"{"size": {"shortest_edge": 256}, "crop_size": 224}"#,
                Fit::Crop,
                &[256],
            ),
            (
                r#"{"size": {"height": 256, "width": 256}}"#,
                Fit::Squash,
                &[256],
            ),
            (
                r#"{"aglet_fit": "trim", "aglet_views": [224, 256]}"#,
                Fit::Trim,
                &[224, 256],
            ),
            (
                r#"{"aglet_fit": "trim", "aglet_views": [224]}"#,
                Fit::Trim,
                &[224],
            ),
        ] {
            let read = parse(json).expect(json);
            assert_eq!(
                (read.size, read.fit, read.edges()),
                (224, fit, edges),
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_not_done_here_is_refused() {
        for json in [
            r#"{"resample": 2}"#,
            r#"{"size": 192}"#,
            r#"{"size": 256, "do_center_crop": false, "aglet_fit": "pad"}"#,
            r#"{"size": {"height": 256, "width": 224}}"#,
            r#"{"size": {"longest_edge": 224}}"#,
            r#"{"crop_size": {"height": 224, "width": 192}}"#,
            r#"{"do_center_crop": false}"#,
            r#"{"do_resize": false}"#,
            r#"{"rescale_factor": 0.0078125}"#,
            r#"{"image_std": [0.5, 0, 0.5]}"#,
            r#"{"image_mean": [0.5]}"#,
            r#"{"aglet_fit": "stretch"}"#,
            r#"{"aglet_views": 256}"#,
            r#"{"aglet_views": []}"#,
            r#"{"aglet_views": [256, 223]}"#,
            r#"{"aglet_views": [256, 256, 256, 256, 256, 256, 256, 256, 256]}"#,
        ] {
            assert!(
                matches!(parse(json), Err(PreprocessorError::Value { .. })),
                "{json}"
            );
        }
        assert!(matches!(parse("["), Err(PreprocessorError::Json(_))));
    }
}
