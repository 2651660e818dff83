//! Bytes that a stranger sent, as pixels; pixels as bytes without anything else.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use serde::{Deserialize, Serialize};

/// How large a photograph may be, decided by its header, before any pixel is unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The least width and height, in pixels.
    pub side_min: u32,
    /// The most width and height, in pixels.
    pub side_max: u32,
    /// The most pixels.
    pub pixels_max: u64,
}

impl Default for Limits {
    /// Fundus cameras write 0.4 to 20 million pixels.
    fn default() -> Self {
        Self { side_min: 64, side_max: 10_000, pixels_max: 24_000_000 }
    }
}

/// A format that is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// TIFF; its first image.
    Tiff,
}

/// Why bytes were not taken as a photograph. The texts are fit for whoever sent them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// By its first bytes it is none of the formats that are read.
    #[error("it is neither JPEG, PNG nor TIFF")]
    Format,
    /// Its header says that it is larger than what is taken.
    #[error("it is {width} x {height} pixels; at most {side_max} a side and {pixels_max} in all are taken")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The limit of each side.
        side_max: u32,
        /// The limit of both.
        pixels_max: u64,
    },
    /// Nothing could be seen on it.
    #[error("it is {width} x {height} pixels; at least {side_min} a side are needed")]
    TooSmall {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The limit of each side.
        side_min: u32,
    },
    /// It ends early or contradicts itself. Nothing is made up for what is missing.
    #[error("it is damaged or incomplete")]
    Damaged,
}

/// A photograph: its pixels, upright, 8 bits a channel. Does not print them.
#[derive(Clone, PartialEq)]
pub struct Photograph {
    pub(crate) pixels: RgbImage,
    format: Format,
}

impl std::fmt::Debug for Photograph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Photograph({:?}, {} x {})", self.format, self.width(), self.height())
    }
}

impl Photograph {
    /// Decodes a JPEG, PNG or TIFF, and turns it as its EXIF orientation says.
    ///
    /// # Errors
    /// A [`Refusal`]. What is too large is refused by its header: nothing was unpacked yet.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self, Refusal> {
        let mut reader =
            ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_hidden| Refusal::Format)?;
        let format = match reader.format() {
            Some(ImageFormat::Jpeg) if is_whole_jpeg(bytes) => Format::Jpeg,
            Some(ImageFormat::Jpeg) => return Err(Refusal::Damaged),
            Some(ImageFormat::Png) => Format::Png,
            Some(ImageFormat::Tiff) => Format::Tiff,
            _ => return Err(Refusal::Format),
        };
        reader.limits(limits.of_decoder());
        let mut decoder = reader.into_decoder().map_err(|error| limits.refusal(&error))?;
        limits.check(decoder.dimensions(), decoder.total_bytes())?;
        let orientation = decoder.orientation().map_err(|_hidden| Refusal::Damaged)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(|error| limits.refusal(&error))?;
        image.apply_orientation(orientation);
        Ok(Self { pixels: image.into_rgb8(), format })
    }

    /// What it was sent as.
    pub fn format(&self) -> Format {
        self.format
    }

    /// In pixels, upright.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// In pixels, upright.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// The pixels as a PNG, without loss, and without anything but the pixels: no EXIF, position, comment, thumbnail or profile.
    pub fn to_png(&self) -> Vec<u8> {
        png(self.pixels.as_raw(), self.width(), self.height())
    }
}

/// Encodes RGB pixels.
pub(crate) fn png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    let written = encoder.write_image(pixels, width, height, ExtendedColorType::Rgb8);
    debug_assert!(written.is_ok(), "a buffer of the right length goes into memory");
    bytes
}

impl Limits {
    fn of_decoder(self) -> image::Limits {
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(self.side_max);
        limits.max_image_height = Some(self.side_max);
        limits.max_alloc = Some(self.bytes_max());
        limits
    }

    /// Three channels of 16 bits are the deepest that is taken.
    fn bytes_max(self) -> u64 {
        self.pixels_max.saturating_mul(6)
    }

    fn check(self, (width, height): (u32, u32), bytes: u64) -> Result<(), Refusal> {
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > self.side_max || pixels > self.pixels_max || bytes > self.bytes_max() {
            return Err(self.too_large(width, height));
        }
        if width.min(height) < self.side_min {
            return Err(Refusal::TooSmall { width, height, side_min: self.side_min });
        }
        Ok(())
    }

    fn too_large(self, width: u32, height: u32) -> Refusal {
        Refusal::TooLarge { width, height, side_max: self.side_max, pixels_max: self.pixels_max }
    }

    /// Some decoders know their limits themselves, and tell no size then.
    fn refusal(self, error: &image::ImageError) -> Refusal {
        match error {
            image::ImageError::Limits(_) => self.too_large(0, 0),
            _ => Refusal::Damaged,
        }
    }
}

/// Whether a JPEG has the end of its last scan: the decoder fills what is missing with grey, and a grade would be read from that.
/// Neither marker can occur within a scan's data; a thumbnail's lie before it.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    matches!((last(0xDA), last(0xD9)), (Some(scan), Some(end)) if scan < end)
}
