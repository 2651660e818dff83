//! Resizing by the triangle filter, from 8 bits to floats, without rounding in between.

use image::RgbImage;

use crate::FieldOfView;

/// A square picture: `size` x `size` pixels of red, green and blue, row by row, 0 to 255.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plane {
    pub(crate) size: usize,
    pub(crate) values: Vec<f32>,
}

/// Which source values make one value, and by which weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of each of `target` values that are made of `source` ones: a triangle as wide as two target values, or as two source
/// values where the picture grows.
fn triangle(source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let reach = scale.max(1.0);
    let taps = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let weight = |at: usize| (1.0 - (at as f64 + 0.5 - centre).abs() / reach).max(0.0);
        let all = (0..source).skip_while(|at| weight(*at) <= 0.0);
        let first = all.clone().next().unwrap_or(0);
        let weights: Vec<f64> = all.map(weight).take_while(|weight| *weight > 0.0).collect();
        let sum: f64 = weights.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights need no more than 24 bits")]
        Taps { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
    };
    (0..target).map(taps).collect()
}

/// The field of view, centred in a black square, resized to `size` x `size`.
pub(crate) fn resize(pixels: &RgbImage, field: FieldOfView, size: usize) -> Plane {
    let square = field.side() as usize;
    let (left, top) = (field.left as usize, field.top as usize);
    let (width, height) = (field.width as usize, field.height as usize);
    let (pad_x, pad_y) = ((square - width) / 2, (square - height) / 2);
    let all_taps = triangle(square, size);
    let stride = 3 * pixels.width() as usize;
    // Rows above and below the field of view are black, and so are columns beside it.
    let mut narrow = vec![0.0_f32; square * size * 3];
    for (row, out) in narrow.chunks_exact_mut(size * 3).skip(pad_y).take(height).enumerate() {
        let line = &pixels.as_raw()[(top + row) * stride + 3 * left..][..3 * width];
        for (taps, out) in all_taps.iter().zip(out.chunks_exact_mut(3)) {
            let begin = taps.first.max(pad_x);
            let weights = taps.weights.iter().skip(begin - taps.first);
            for (weight, pixel) in weights.zip(line.chunks_exact(3).skip(begin - pad_x)) {
                for (out, channel) in out.iter_mut().zip(pixel) {
                    *out += weight * f32::from(*channel);
                }
            }
        }
    }
    let mut values = vec![0.0_f32; size * size * 3];
    for (taps, out) in all_taps.iter().zip(values.chunks_exact_mut(size * 3)) {
        for (weight, line) in taps.weights.iter().zip(narrow.chunks_exact(size * 3).skip(taps.first)) {
            for (out, value) in out.iter_mut().zip(line) {
                *out += weight * value;
            }
        }
    }
    Plane { size, values }
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};

    use super::*;

    /// The `image` crate's own resizing is the reference: it rounds to 8 bits.
    #[test]
    fn agrees_with_the_image_crate_when_it_shrinks_and_when_it_grows() {
        for side in [37_u32, 150, 333] {
            let pixels = RgbImage::from_fn(side, side, |x, y| {
                let wave = |a: u32, b: u32| u8::try_from((x * a + y * b + x * y) % 256).unwrap();
                image::Rgb([wave(7, 3), wave(1, 11), wave(5, 2)])
            });
            let whole = FieldOfView { left: 0, top: 0, width: side, height: side };
            let ours = resize(&pixels, whole, 96);
            let theirs = imageops::resize(&pixels, 96, 96, FilterType::Triangle);
            let worst = ours.values.iter().zip(theirs.as_raw()).map(|(a, b)| (a - f32::from(*b)).abs());
            assert!(worst.fold(0.0, f32::max) <= 0.501, "side {side}");
        }
    }

    #[test]
    fn a_field_that_is_no_square_is_centred_in_black() {
        let pixels = RgbImage::from_pixel(40, 20, image::Rgb([200, 100, 50]));
        let plane = resize(&pixels, FieldOfView { left: 0, top: 0, width: 40, height: 20 }, 40);
        let red = |row: usize| plane.values[(row * 40 + 20) * 3];
        assert_eq!((red(9), red(10), red(29), red(30)), (0.0, 200.0, 200.0, 0.0));
    }
}
