//! What a grade was read from, drawn over the photograph.

use crate::{FieldOfView, Photograph, photograph::png};

/// The longest side of the picture, in pixels.
const SIDE: usize = 512;
/// How much of the photograph the strongest place hides.
const OPACITY: f32 = 0.6;

/// Draws a class activation map (Zhou et al. 2016, arXiv 1512.04150) over the field of view, as a PNG of 512 x 512 pixels.
///
/// `activation` is the map of one grade, `side` x `side` values row by row: what each place adds to the logit of the grade. Places
/// that add nothing or take away are left as they are; the strongest is red, half of it yellow. `None` where the values are not
/// `side` x `side` finite ones.
pub fn heat_map(
    photograph: &Photograph,
    field: FieldOfView,
    activation: &[f32],
    side: usize,
) -> Option<Vec<u8>> {
    let square = side.checked_mul(side)? == activation.len() && side > 0;
    if !square || activation.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let strongest = activation.iter().copied().fold(0.0, f32::max);
    let picture = field.square(&photograph.pixels, SIDE);
    let mut pixels = Vec::with_capacity(picture.values.len());
    for (index, rgb) in picture.values.chunks_exact(3).enumerate() {
        let strength = if strongest > 0.0 {
            (between(activation, side, index % SIDE, index / SIDE) / strongest).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let heat = [255.0, 255.0 * (2.0 - 2.0 * strength).min(1.0), 0.0];
        for (value, heat) in rgb.iter().zip(heat) {
            let mixed = value + (heat - value) * OPACITY * strength;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within 0 to 255"
            )]
            pixels.push(mixed.round() as u8);
        }
    }
    let length = u32::try_from(SIDE).ok()?;
    Some(png(&pixels, length, length))
}

/// The map at a pixel of the picture, bilinear between the middles of its places.
fn between(activation: &[f32], side: usize, x: usize, y: usize) -> f32 {
    let place = |at: usize| {
        let position = ((at as f32 + 0.5) * side as f32 / SIDE as f32 - 0.5).clamp(0.0, (side - 1) as f32);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within 0 to side - 1"
        )]
        let low = position.floor() as usize;
        (low, (low + 1).min(side - 1), position - low as f32)
    };
    let ((left, right, across), (top, bottom, down)) = (place(x), place(y));
    let along = |row: usize| {
        let (one, other) = (activation[row * side + left], activation[row * side + right]);
        one + (other - one) * across
    };
    along(top) + (along(bottom) - along(top)) * down
}
