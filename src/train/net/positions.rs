//! A larger (or smaller) input for a trained vision tower: its table of positions is resampled to
//! the new grid of patches (arXiv 2010.11929, section 3.2), all other weights stay as they are.

use super::config::NetConfig;
use super::parameters::Parameters;

/// The table's name among the parameters.
pub const TABLE: &str = "vision_model.embeddings.position_embedding.weight";

/// The model with square inputs of `size` pixels, which show the same parts of a photo as before.
///
/// # Errors
/// In words, if `size` is not a multiple of the patch.
pub fn resized(
    config: &NetConfig,
    mut parameters: Parameters,
    size: usize,
) -> Result<(NetConfig, Parameters), String> {
    let vision = &config.clip.vision;
    let patch = vision.patch_size;
    if size == 0 || !size.is_multiple_of(patch) {
        return Err(format!(
            "an input of {size} pixels does not divide into patches of {patch}"
        ));
    }
    let (from, to) = (vision.grid(), size / patch);
    let width = vision.tower.width;
    if let Some(table) = parameters.get_mut(TABLE) {
        // The first row is the class token's: it has no place in the grid.
        let (class, grid) = table.values.split_at(width);
        table.values = [class, &resampled(grid, width, from, to)].concat();
        table.shape = vec![to * to + 1, width];
    }
    let views = config
        .views
        .iter()
        .map(|edge| edge * size / vision.image_size)
        .collect();
    let mut resized = NetConfig {
        views,
        ..config.clone()
    };
    resized.clip.vision.image_size = size;
    Ok((resized, parameters))
}

/// Bilinear, the corners of the grids' cells aligned (PyTorch's `align_corners=False`).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rows and columns of a grid"
)]
fn resampled(grid: &[f32], width: usize, from: usize, to: usize) -> Vec<f32> {
    let place = |at: usize| {
        let center = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
        let low = (center as usize).min(from - 1);
        (low, (low + 1).min(from - 1), center - low as f32)
    };
    let cell = |row: usize, column: usize| &grid[(row * from + column) * width..][..width];
    let mut out = Vec::with_capacity(to * to * width);
    for (top, bottom, down) in (0..to).map(place) {
        for (left, right, across) in (0..to).map(place) {
            let corners = [
                (cell(top, left), (1.0 - down) * (1.0 - across)),
                (cell(top, right), (1.0 - down) * across),
                (cell(bottom, left), down * (1.0 - across)),
                (cell(bottom, right), down * across),
            ];
            out.extend((0..width).map(|i| {
                corners
                    .iter()
                    .map(|(cell, weight)| cell[i] * weight)
                    .sum::<f32>()
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_resampled_as_pytorch_does() {
        // torch.nn.functional.interpolate(tensor([[1., 2.], [3., 5.]]), size=(3, 3),
        // mode="bilinear")
        let wanted = [1.0, 1.5, 2.0, 2.0, 2.75, 3.5, 3.0, 4.0, 5.0];
        assert_eq!(resampled(&[1.0, 2.0, 3.0, 5.0], 1, 2, 3), wanted);
        let same: Vec<f32> = (0..18_u8).map(f32::from).collect();
        assert_eq!(resampled(&same, 2, 3, 3), same);
    }
}
