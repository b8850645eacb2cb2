//! A small graph builder: nodes in order, constants inside the file, weights outside of it.

use prost::Message;

use super::proto;
use crate::model::manifest::WEIGHTS;
use crate::model::weights::{FloatType, Weights, WeightsError};

/// Opset 17 is the first with LayerNormalization; its IR version is 8.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// The name of a value in the graph.
#[derive(Clone, Debug)]
pub(super) struct Value(String);

/// An attribute of a node.
pub(super) enum Attr {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
}

/// One extent of an input or output.
pub(super) enum Dim {
    Fixed(usize),
    Named(&'static str),
}

pub(super) struct Graph<'a> {
    weights: &'a Weights,
    graph: proto::Graph,
}

impl<'a> Graph<'a> {
    pub(super) fn new(name: &str, weights: &'a Weights) -> Self {
        Self {
            weights,
            graph: proto::Graph {
                name: name.to_owned(),
                ..Default::default()
            },
        }
    }

    pub(super) fn input(&mut self, name: &str, dtype: proto::DataType, shape: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, dtype, shape));
        Value(name.to_owned())
    }

    /// Names the graph's result and ends the building: the bytes of the `.onnx` file.
    pub(super) fn finish(mut self, output: &Value, name: &str, shape: &[Dim]) -> Vec<u8> {
        let last = self
            .graph
            .node
            .iter_mut()
            .flat_map(|node| &mut node.output)
            .find(|value| **value == output.0);
        name.clone_into(last.expect("a result is some node's output"));
        self.graph
            .output
            .push(value_info(name, proto::DataType::Float, shape));
        let model = proto::Model {
            ir_version: IR_VERSION,
            producer_name: "aglet".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![proto::OperatorSet {
                domain: String::new(),
                version: OPSET,
            }],
        };
        model.encode_to_vec()
    }

    /// Adds a node with one output.
    pub(super) fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<Attr>) -> Value {
        let name = format!("{op}_{}", self.graph.node.len());
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.to_owned(),
            attribute: attributes.into_iter().map(attribute).collect(),
        });
        Value(name)
    }

    /// A constant list of integers, shape `[n]`.
    pub(super) fn ints(&mut self, values: &[i64]) -> Value {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(proto::DataType::Int64, vec![as_i64(values.len())], raw)
    }

    /// A constant integer, shape `[]`.
    pub(super) fn int(&mut self, value: i64) -> Value {
        self.constant(proto::DataType::Int64, vec![], value.to_le_bytes().to_vec())
    }

    /// A constant number, shape `[]`.
    pub(super) fn float(&mut self, value: f32) -> Value {
        self.constant(proto::DataType::Float, vec![], value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, dtype: proto::DataType, dims: Vec<i64>, raw: Vec<u8>) -> Value {
        let same = |t: &&proto::Tensor| {
            t.data_type == dtype as i32
                && t.dims == dims
                && t.raw_data.as_deref() == Some(raw.as_slice())
        };
        if let Some(tensor) = self.graph.initializer.iter().find(same) {
            return Value(tensor.name.clone());
        }
        let name = format!("constant_{}", self.graph.initializer.len());
        let tensor = proto::Tensor {
            dims,
            data_type: dtype as i32,
            name: name.clone(),
            raw_data: Some(raw),
            ..Default::default()
        };
        self.graph.initializer.push(tensor);
        Value(name)
    }

    /// A weight as float32: a reference into the safetensors file, with a cast behind it where the
    /// file holds 16 bits (ONNX Runtime folds it when the session is made).
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Value, WeightsError> {
        let (value, dtype) = self.stored(name, shape, shape)?;
        Ok(self.float32(value, dtype))
    }

    /// A weight of another shape in the graph than in the file (same elements, same order).
    pub(super) fn weight_as(
        &mut self,
        name: &str,
        shape: &[usize],
        seen: &[usize],
    ) -> Result<Value, WeightsError> {
        let (value, dtype) = self.stored(name, shape, seen)?;
        Ok(self.float32(value, dtype))
    }

    /// Rows of a table by id; only the rows are cast, so that a 16-bit table stays small in memory.
    pub(super) fn rows(
        &mut self,
        table: &str,
        shape: &[usize],
        ids: &Value,
    ) -> Result<Value, WeightsError> {
        let (table, dtype) = self.stored(table, shape, shape)?;
        let rows = self.node("Gather", &[&table, ids], vec![Attr::Int("axis", 0)]);
        Ok(self.float32(rows, dtype))
    }

    fn float32(&mut self, value: Value, dtype: FloatType) -> Value {
        match dtype {
            FloatType::Float32 => value,
            FloatType::Float16 | FloatType::Bfloat16 => self.cast(&value, proto::DataType::Float),
        }
    }

    pub(super) fn cast(&mut self, value: &Value, to: proto::DataType) -> Value {
        self.node(
            "Cast",
            &[value],
            vec![Attr::Int("to", i64::from(to as i32))],
        )
    }

    fn stored(
        &mut self,
        name: &str,
        shape: &[usize],
        seen: &[usize],
    ) -> Result<(Value, FloatType), WeightsError> {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            seen.iter().product::<usize>()
        );
        let place = self.weights.place(name, shape)?;
        let dtype = match place.dtype {
            FloatType::Float32 => proto::DataType::Float,
            FloatType::Float16 => proto::DataType::Float16,
            FloatType::Bfloat16 => proto::DataType::Bfloat16,
        };
        let entry = |key: &str, value: String| proto::Entry {
            key: key.to_owned(),
            value,
        };
        self.graph.initializer.push(proto::Tensor {
            dims: seen.iter().map(|&n| as_i64(n)).collect(),
            data_type: dtype as i32,
            name: name.to_owned(),
            raw_data: None,
            external_data: vec![
                entry("location", WEIGHTS.to_owned()),
                entry("offset", place.offset.to_string()),
                entry("length", place.bytes.to_string()),
            ],
            data_location: Some(1),
        });
        Ok((Value(name.to_owned()), place.dtype))
    }
}

/// Sizes of tensors, which fit.
pub(super) fn as_i64(n: usize) -> i64 {
    i64::try_from(n).expect("a tensor's extent is below 2^63")
}

fn attribute(attr: Attr) -> proto::Attribute {
    use proto::AttributeType::{Float, Int, Ints};
    let (name, r#type) = match &attr {
        Attr::Int(name, _) => (name, Int),
        Attr::Ints(name, _) => (name, Ints),
        Attr::Float(name, _) => (name, Float),
    };
    let mut out = proto::Attribute {
        name: (*name).to_owned(),
        r#type: r#type as i32,
        ..Default::default()
    };
    match attr {
        Attr::Int(_, value) => out.i = Some(value),
        Attr::Ints(_, values) => out.ints = values,
        Attr::Float(_, value) => out.f = Some(value),
    }
    out
}

fn value_info(name: &str, dtype: proto::DataType, shape: &[Dim]) -> proto::ValueInfo {
    let dim = shape.iter().map(|dim| match dim {
        Dim::Fixed(n) => proto::Dimension {
            dim_value: Some(as_i64(*n)),
            dim_param: None,
        },
        Dim::Named(name) => proto::Dimension {
            dim_value: None,
            dim_param: Some((*name).to_owned()),
        },
    });
    let tensor = proto::TensorType {
        elem_type: dtype as i32,
        shape: Some(proto::Shape { dim: dim.collect() }),
    };
    proto::ValueInfo {
        name: name.to_owned(),
        r#type: Some(proto::Type {
            tensor_type: Some(tensor),
        }),
    }
}
