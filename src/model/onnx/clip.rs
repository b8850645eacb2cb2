//! CLIP's two towers (Radford et al. 2021, arXiv 2103.00020) as Hugging Face names and computes
//! them.
//!
//! Hidden states are kept as one matrix, a row a token (`[batch * length, width]`), so that every
//! projection is one `Gemm` that takes the checkpoint's `[out, in]` matrices as they lie in the
//! file. Attention is written out in opset 17: newer fused operators fall back to the CPU under
//! CUDA. The last block computes only the row that is pooled: the other rows' queries and
//! feed-forward would be thrown away (a fifteenth of a 12-layer tower's work).

use super::graph::{Attr, Dim, Graph, Value, as_i64};
use super::proto::DataType;
use crate::model::clip_config::{Activation, ClipConfig, Pooling, TextTower, Tower, VisionTower};
use crate::model::weights::{Weights, WeightsError};

/// The bytes of `text.onnx`: `input_ids` (int64 `[batch, length]`, `length` up to the context
/// length) -> `embedding` (float32 `[batch, dimensions]`, unit length).
///
/// Rows may be padded at the end with anything: attention is causal, and each row is pooled at its
/// first end-of-text. A row without one is pooled at its last token.
///
/// # Errors
/// When the weights lack a tensor of the architecture, or have it in another shape or type.
pub fn text_graph(config: &ClipConfig, weights: &Weights) -> Result<Vec<u8>, WeightsError> {
    let mut g = Graph::new("clip_text", weights);
    let TextTower {
        tower,
        vocabulary,
        context_length,
        pooling,
    } = &config.text;
    let ids = g.input(
        "input_ids",
        DataType::Int64,
        &[Dim::Named("batch"), Dim::Named("length")],
    );
    let shape = g.node("Shape", &[&ids], vec![]);
    let (batch, length) = (entry(&mut g, &shape, 0), entry(&mut g, &shape, 1));
    let positions = range(&mut g, 0, &length, 1);

    let words = g.rows(
        "text_model.embeddings.token_embedding.weight",
        &[*vocabulary, tower.width],
        &ids,
    )?;
    let places = g.rows(
        "text_model.embeddings.position_embedding.weight",
        &[*context_length, tower.width],
        &positions,
    )?;
    let hidden = g.node("Add", &[&words, &places], vec![]);
    let hidden = reshape(&mut g, &hidden, &[-1, as_i64(tower.width)]);

    let end = first_end(&mut g, &ids, &positions, &length, *pooling);
    let mask = causal_mask(&mut g, &positions);
    let end_mask = g.node("Gather", &[&mask, &end], vec![Attr::Int("axis", 0)]);
    let axes = g.ints(&[1, 2]);
    let end_mask = g.node("Unsqueeze", &[&end_mask, &axes], vec![]);
    let starts = row_starts(&mut g, &batch, &length);
    let attention = Attention {
        shape: token_shape(&mut g, &shape, tower),
        mask: Some(mask),
        pooled_rows: g.node("Add", &[&starts, &end], vec![]),
        pooled_mask: Some(end_mask),
    };
    let pooled = blocks(&mut g, "text_model", tower, hidden, &attention)?;
    let pooled = layer_norm(&mut g, "text_model.final_layer_norm", tower, &pooled)?;
    let embedding = project(
        &mut g,
        "text_projection.weight",
        config.projection,
        tower.width,
        &pooled,
    )?;
    Ok(g.finish(
        &embedding,
        "embedding",
        &[Dim::Named("batch"), Dim::Fixed(config.projection)],
    ))
}

/// The bytes of `image.onnx`: `pixel_values` (float32 `[batch, 3, size, size]`, normalized) ->
/// `embedding` (float32 `[batch, dimensions]`, unit length).
///
/// # Errors
/// When the weights lack a tensor of the architecture, or have it in another shape or type.
pub fn image_graph(config: &ClipConfig, weights: &Weights) -> Result<Vec<u8>, WeightsError> {
    let mut g = Graph::new("clip_image", weights);
    let VisionTower {
        tower, image_size, ..
    } = &config.vision;
    let size = Dim::Fixed(*image_size);
    let pixels = g.input(
        "pixel_values",
        DataType::Float,
        &[
            Dim::Named("batch"),
            Dim::Fixed(3),
            size,
            Dim::Fixed(*image_size),
        ],
    );
    let (patches, length) = (config.vision.grid().pow(2), config.vision.grid().pow(2) + 1);
    let width = as_i64(tower.width);
    let shape = g.node("Shape", &[&pixels], vec![]);
    let batch = entry(&mut g, &shape, 0);

    let hidden = patch_embedding(&mut g, &config.vision, &pixels)?;
    let hidden = reshape(&mut g, &hidden, &[-1, as_i64(patches), width]);
    let class = g.weight_as(
        "vision_model.embeddings.class_embedding",
        &[tower.width],
        &[1, 1, tower.width],
    )?;
    let axes = g.ints(&[0]);
    let batch_list = g.node("Unsqueeze", &[&batch, &axes], vec![]);
    let ones = g.ints(&[1, width]);
    let class_shape = g.node("Concat", &[&batch_list, &ones], vec![Attr::Int("axis", 0)]);
    let class = g.node("Expand", &[&class, &class_shape], vec![]);
    let hidden = g.node("Concat", &[&class, &hidden], vec![Attr::Int("axis", 1)]);
    let places = g.weight(
        "vision_model.embeddings.position_embedding.weight",
        &[length, tower.width],
    )?;
    let hidden = g.node("Add", &[&hidden, &places], vec![]);
    let hidden = reshape(&mut g, &hidden, &[-1, width]);
    // The checkpoints' own spelling.
    let hidden = layer_norm(&mut g, "vision_model.pre_layrnorm", tower, &hidden)?;

    let length_value = g.int(as_i64(length));
    let heads = [
        -1,
        as_i64(length),
        as_i64(tower.heads),
        as_i64(tower.width / tower.heads),
    ];
    let attention = Attention {
        shape: g.ints(&heads),
        mask: None,
        pooled_rows: row_starts(&mut g, &batch, &length_value),
        pooled_mask: None,
    };
    let pooled = blocks(&mut g, "vision_model", tower, hidden, &attention)?;
    let pooled = layer_norm(&mut g, "vision_model.post_layernorm", tower, &pooled)?;
    let embedding = project(
        &mut g,
        "visual_projection.weight",
        config.projection,
        tower.width,
        &pooled,
    )?;
    Ok(g.finish(
        &embedding,
        "embedding",
        &[Dim::Named("batch"), Dim::Fixed(config.projection)],
    ))
}

/// Cuts the image into patches and projects each: a convolution whose stride is its kernel, as one
/// matrix product. `[batch * patches, width]`, patches row by row.
fn patch_embedding(
    g: &mut Graph,
    vision: &VisionTower,
    pixels: &Value,
) -> Result<Value, WeightsError> {
    let (grid, patch, width) = (
        as_i64(vision.grid()),
        as_i64(vision.patch_size),
        vision.tower.width,
    );
    let flat = 3 * vision.patch_size * vision.patch_size;
    let cut = reshape(g, pixels, &[-1, 3, grid, patch, grid, patch]);
    let cut = g.node(
        "Transpose",
        &[&cut],
        vec![Attr::Ints("perm", vec![0, 2, 4, 1, 3, 5])],
    );
    let cut = reshape(g, &cut, &[-1, as_i64(flat)]);
    let kernel = [width, 3, vision.patch_size, vision.patch_size];
    let kernel = g.weight_as(
        "vision_model.embeddings.patch_embedding.weight",
        &kernel,
        &[width, flat],
    )?;
    Ok(g.node("Gemm", &[&cut, &kernel], vec![Attr::Int("transB", 1)]))
}

/// What the attention of a tower's blocks shares.
struct Attention {
    /// `[batch, length, heads, width / heads]` as a list of integers.
    shape: Value,
    /// `[length, length]`, added to the scores.
    mask: Option<Value>,
    /// Which rows of the hidden states are pooled: `[batch]`.
    pooled_rows: Value,
    /// The pooled rows of `mask`: `[batch, 1, 1, length]`.
    pooled_mask: Option<Value>,
}

/// All blocks: `[batch * length, width]` -> the pooled rows, `[batch, width]`.
fn blocks(
    g: &mut Graph,
    model: &str,
    tower: &Tower,
    mut hidden: Value,
    attention: &Attention,
) -> Result<Value, WeightsError> {
    for layer in 0..tower.layers {
        let prefix = format!("{model}.encoder.layers.{layer}");
        let pooled = layer + 1 == tower.layers;
        let normed = layer_norm(g, &format!("{prefix}.layer_norm1"), tower, &hidden)?;
        let attended = self_attention(
            g,
            &format!("{prefix}.self_attn"),
            tower,
            &normed,
            attention,
            pooled,
        )?;
        if pooled {
            hidden = g.node(
                "Gather",
                &[&hidden, &attention.pooled_rows],
                vec![Attr::Int("axis", 0)],
            );
        }
        hidden = g.node("Add", &[&hidden, &attended], vec![]);
        let normed = layer_norm(g, &format!("{prefix}.layer_norm2"), tower, &hidden)?;
        let inner = linear(
            g,
            &format!("{prefix}.mlp.fc1"),
            tower.feed_forward,
            tower.width,
            &normed,
        )?;
        let inner = activate(g, tower.activation, &inner);
        let outer = linear(
            g,
            &format!("{prefix}.mlp.fc2"),
            tower.width,
            tower.feed_forward,
            &inner,
        )?;
        hidden = g.node("Add", &[&hidden, &outer], vec![]);
    }
    Ok(hidden)
}

fn self_attention(
    g: &mut Graph,
    prefix: &str,
    tower: &Tower,
    hidden: &Value,
    attention: &Attention,
    pooled: bool,
) -> Result<Value, WeightsError> {
    let width = tower.width;
    let head = width / tower.heads;
    let projected = |g: &mut Graph, name: &str, of: &Value, shape: &Value, perm: [i64; 4]| {
        let flat = linear(g, &format!("{prefix}.{name}"), width, width, of)?;
        let heads = g.node("Reshape", &[&flat, shape], vec![]);
        Ok::<_, WeightsError>(g.node(
            "Transpose",
            &[&heads],
            vec![Attr::Ints("perm", perm.to_vec())],
        ))
    };
    let queries = if pooled {
        let rows = g.node(
            "Gather",
            &[hidden, &attention.pooled_rows],
            vec![Attr::Int("axis", 0)],
        );
        let one = g.ints(&[-1, 1, as_i64(tower.heads), as_i64(head)]);
        projected(g, "q_proj", &rows, &one, [0, 2, 1, 3])?
    } else {
        projected(g, "q_proj", hidden, &attention.shape, [0, 2, 1, 3])?
    };
    let keys = projected(g, "k_proj", hidden, &attention.shape, [0, 2, 3, 1])?;
    let values = projected(g, "v_proj", hidden, &attention.shape, [0, 2, 1, 3])?;

    #[expect(
        clippy::cast_precision_loss,
        reason = "a head has some dozen dimensions"
    )]
    let scale = g.float(1.0 / (head as f32).sqrt());
    let scores = g.node("MatMul", &[&queries, &keys], vec![]);
    let mut scores = g.node("Mul", &[&scores, &scale], vec![]);
    if let Some(mask) = if pooled {
        &attention.pooled_mask
    } else {
        &attention.mask
    } {
        scores = g.node("Add", &[&scores, mask], vec![]);
    }
    let shares = g.node("Softmax", &[&scores], vec![Attr::Int("axis", -1)]);
    let mixed = g.node("MatMul", &[&shares, &values], vec![]);
    let mixed = g.node(
        "Transpose",
        &[&mixed],
        vec![Attr::Ints("perm", vec![0, 2, 1, 3])],
    );
    let mixed = reshape(g, &mixed, &[-1, as_i64(width)]);
    linear(g, &format!("{prefix}.out_proj"), width, width, &mixed)
}

/// `x W^T + b`.
fn linear(
    g: &mut Graph,
    name: &str,
    to: usize,
    from: usize,
    x: &Value,
) -> Result<Value, WeightsError> {
    let weight = g.weight(&format!("{name}.weight"), &[to, from])?;
    let bias = g.weight(&format!("{name}.bias"), &[to])?;
    Ok(g.node("Gemm", &[x, &weight, &bias], vec![Attr::Int("transB", 1)]))
}

fn layer_norm(g: &mut Graph, name: &str, tower: &Tower, x: &Value) -> Result<Value, WeightsError> {
    let scale = g.weight(&format!("{name}.weight"), &[tower.width])?;
    let bias = g.weight(&format!("{name}.bias"), &[tower.width])?;
    let attributes = vec![
        Attr::Int("axis", -1),
        Attr::Float("epsilon", tower.layer_norm_eps),
    ];
    Ok(g.node("LayerNormalization", &[x, &scale, &bias], attributes))
}

/// Both forms are the ones that ONNX Runtime recognizes and fuses.
fn activate(g: &mut Graph, activation: Activation, x: &Value) -> Value {
    match activation {
        Activation::QuickGelu => {
            let factor = g.float(1.702);
            let scaled = g.node("Mul", &[x, &factor], vec![]);
            let gate = g.node("Sigmoid", &[&scaled], vec![]);
            g.node("Mul", &[x, &gate], vec![])
        }
        Activation::Gelu => {
            let (root, one, half) = (
                g.float(std::f32::consts::SQRT_2),
                g.float(1.0),
                g.float(0.5),
            );
            let scaled = g.node("Div", &[x, &root], vec![]);
            let erf = g.node("Erf", &[&scaled], vec![]);
            let shifted = g.node("Add", &[&erf, &one], vec![]);
            let gated = g.node("Mul", &[x, &shifted], vec![]);
            g.node("Mul", &[&gated, &half], vec![])
        }
    }
}

/// The projection into the shared space, scaled to unit length.
fn project(
    g: &mut Graph,
    name: &str,
    to: usize,
    from: usize,
    pooled: &Value,
) -> Result<Value, WeightsError> {
    let matrix = g.weight(name, &[to, from])?;
    let projected = g.node("Gemm", &[pooled, &matrix], vec![Attr::Int("transB", 1)]);
    let norm = g.node(
        "ReduceL2",
        &[&projected],
        vec![Attr::Ints("axes", vec![1]), Attr::Int("keepdims", 1)],
    );
    Ok(g.node("Div", &[&projected, &norm], vec![]))
}

/// `[batch]`: the position of each row's first end-of-text. As the smallest of the positions where
/// it stands, and not as an ArgMax, whose choice among equals differs between providers.
fn first_end(
    g: &mut Graph,
    ids: &Value,
    positions: &Value,
    length: &Value,
    pooling: Pooling,
) -> Value {
    // As floats, exact up to 2^24: CUDA has no integer Equal/ReduceMin for all of this.
    let ids = g.cast(ids, DataType::Float);
    let end = match pooling {
        #[expect(
            clippy::cast_precision_loss,
            reason = "vocabularies are far below 2^24"
        )]
        Pooling::EndOfText(id) => g.float(id as f32),
        Pooling::HighestId => g.node(
            "ReduceMax",
            &[&ids],
            vec![Attr::Ints("axes", vec![1]), Attr::Int("keepdims", 1)],
        ),
    };
    let is_end = g.node("Equal", &[&ids, &end], vec![]);
    let positions = g.cast(positions, DataType::Float);
    let one = g.int(1);
    let last = g.node("Sub", &[length, &one], vec![]);
    let last = g.cast(&last, DataType::Float);
    let candidates = g.node("Where", &[&is_end, &positions, &last], vec![]);
    let first = g.node(
        "ReduceMin",
        &[&candidates],
        vec![Attr::Ints("axes", vec![1]), Attr::Int("keepdims", 0)],
    );
    g.cast(&first, DataType::Int64)
}

/// `[length, length]`: 0 where a token (row) may look, the lowest float where it may not (behind
/// itself).
fn causal_mask(g: &mut Graph, positions: &Value) -> Value {
    let (rows, columns) = (g.ints(&[1]), g.ints(&[0]));
    let from = g.node("Unsqueeze", &[positions, &rows], vec![]);
    let to = g.node("Unsqueeze", &[positions, &columns], vec![]);
    let hidden = g.node("Less", &[&from, &to], vec![]);
    let (lowest, zero) = (g.float(f32::MIN), g.float(0.0));
    g.node("Where", &[&hidden, &lowest, &zero], vec![])
}

/// `[batch]`: the row of the flat hidden states at which each sequence starts.
fn row_starts(g: &mut Graph, batch: &Value, length: &Value) -> Value {
    let sequences = range(g, 0, batch, 1);
    g.node("Mul", &[&sequences, length], vec![])
}

/// `[batch, length, heads, width / heads]` from `[batch, length]`.
fn token_shape(g: &mut Graph, shape: &Value, tower: &Tower) -> Value {
    let heads = g.ints(&[as_i64(tower.heads), as_i64(tower.width / tower.heads)]);
    g.node("Concat", &[shape, &heads], vec![Attr::Int("axis", 0)])
}

fn entry(g: &mut Graph, list: &Value, index: i64) -> Value {
    let index = g.int(index);
    g.node("Gather", &[list, &index], vec![Attr::Int("axis", 0)])
}

fn range(g: &mut Graph, start: i64, limit: &Value, step: i64) -> Value {
    let (start, step) = (g.int(start), g.int(step));
    g.node("Range", &[&start, limit, &step], vec![])
}

fn reshape(g: &mut Graph, value: &Value, shape: &[i64]) -> Value {
    let shape = g.ints(shape);
    g.node("Reshape", &[value, &shape], vec![])
}
