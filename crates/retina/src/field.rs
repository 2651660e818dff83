//! The round part of a photograph that shows retina.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    FieldRule,
    resize::{Plane, resize},
};

/// Where the field of view lies, in pixels of the photograph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FieldOfView {
    /// Its first column.
    pub left: u32,
    /// Its first row.
    pub top: u32,
    /// How many columns.
    pub width: u32,
    /// How many rows.
    pub height: u32,
}

/// The largest of red, green and blue.
fn brightness(pixel: &[u8]) -> u8 {
    pixel.iter().copied().max().unwrap_or(0)
}

impl FieldOfView {
    /// The rows and columns of which more than a share of the pixels are brighter than the threshold, from the first to the last.
    /// `None` where there are none.
    pub(crate) fn find(pixels: &RgbImage, rule: FieldRule) -> Option<Self> {
        let (width, height) = pixels.dimensions();
        let (mut columns, mut rows) = (vec![0_u32; width as usize], Vec::with_capacity(height as usize));
        for row in pixels.as_raw().chunks_exact(3 * width as usize) {
            let mut bright = 0_u32;
            for (pixel, column) in row.chunks_exact(3).zip(&mut columns) {
                let counts = u32::from(brightness(pixel) > rule.threshold);
                *column += counts;
                bright += counts;
            }
            rows.push(bright);
        }
        let span = |counts: &[u32], of: u32| {
            let bright = |count: &u32| f64::from(*count) / f64::from(of) > rule.share_min;
            let (first, last) = (counts.iter().position(bright)?, counts.iter().rposition(bright)?);
            Some((u32::try_from(first).ok()?, u32::try_from(last - first + 1).ok()?))
        };
        let (left, width) = span(&columns, height)?;
        let (top, height) = span(&rows, pixels.width())?;
        Some(Self { left, top, width, height })
    }

    /// The longer side, in pixels: the side of the square that it is centred in.
    pub(crate) fn side(self) -> u32 {
        self.width.max(self.height)
    }

    /// It, centred in a black square, as `size` x `size` values of 0 to 255.
    pub(crate) fn square(self, pixels: &RgbImage, size: usize) -> Plane {
        resize(pixels, self, size)
    }
}
