//! Whether a grade can be read from a photograph at all.

use serde::{Deserialize, Serialize};

use crate::{FieldOfView, Photograph, Preprocessing, RuleError, resize::Plane, rules::within};

/// Everything is measured on the field of view at this many pixels a side, so that a camera's resolution does not matter.
const SIDE: usize = 256;
/// Of the field's radius: its edge is as sharp in a blurred photograph as in any.
const INNER: f64 = 0.85;

/// What a photograph must have. The defaults were chosen on drawn pictures; an operator sets them to the camera's in the manifest's
/// `preprocessing.quality`.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityRules {
    /// The least width and height of the field of view, in pixels.
    pub field_side_min: u32,
    /// The most that one side of the field is of the other.
    pub field_aspect_max: f64,
    /// The least share of the field's ellipse that is bright.
    pub field_fill_min: f64,
    /// The least share that red has of red, green and blue: a retina is red to orange.
    pub red_share_min: f64,
    /// The least variance of the Laplacian of green, in squares of 8-bit levels.
    pub sharpness_min: f64,
    /// The least and the most mean brightness, of 255.
    pub brightness: [f64; 2],
    /// The least that the darkest quadrant's mean brightness is of the brightest's.
    pub evenness_min: f64,
    /// The most of the field that may be overexposed: red and green at 250 or above.
    pub overexposed_max: f64,
}

impl Default for QualityRules {
    fn default() -> Self {
        Self {
            field_side_min: 64,
            field_aspect_max: 1.5,
            field_fill_min: 0.75,
            red_share_min: 0.38,
            sharpness_min: 12.0,
            brightness: [40.0, 215.0],
            evenness_min: 0.4,
            overexposed_max: 0.1,
        }
    }
}

impl QualityRules {
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        let part = "preprocessing.quality";
        within(part, "field_aspect_max", self.field_aspect_max, (1.0, 10.0))?;
        within(part, "sharpness_min", self.sharpness_min, (0.0, 1e5))?;
        let shares = [
            ("field_fill_min", self.field_fill_min),
            ("red_share_min", self.red_share_min),
            ("evenness_min", self.evenness_min),
            ("overexposed_max", self.overexposed_max),
        ];
        shares.into_iter().try_for_each(|(name, share)| within(part, name, share, (0.0, 1.0)))?;
        let [low, high] = self.brightness;
        within(part, "brightness[0]", low, (0.0, high))?;
        within(part, "brightness[1]", high, (low, 255.0))
    }
}

/// Why no grade can be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcoming {
    /// Nothing is bright enough to be a field of view.
    NoFieldOfView,
    /// The field of view has too few pixels.
    FieldTooSmall,
    /// The field of view is cut off, or not round.
    FieldNotRound,
    /// Its colours are not those of a retina.
    NotARetina,
    /// Too little detail: out of focus, moved, or through a cloudy lens.
    Blurred,
    /// Too dark.
    TooDark,
    /// Too bright, or too much of it overexposed.
    TooBright,
    /// One part of it is much darker than another.
    UnevenIllumination,
}

impl Shortcoming {
    /// What to tell whoever took the photograph.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NoFieldOfView => "no field of view was found: is it a fundus photograph?",
            Self::FieldTooSmall => "the field of view has too few pixels: send the camera's original",
            Self::FieldNotRound => "the field of view is cut off or not round: send the whole photograph",
            Self::NotARetina => "the colours are not those of a retina: is it a colour fundus photograph?",
            Self::Blurred => "it is blurred: focus and take it again",
            Self::TooDark => "it is too dark: take it again with more light, or a wider pupil",
            Self::TooBright => "it is overexposed: take it again with less light",
            Self::UnevenIllumination => {
                "it is lit unevenly: centre the camera on the pupil and take it again"
            }
        }
    }
}

/// How the field of view is lit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Illumination {
    /// Mean of the largest of red, green and blue, of 255.
    pub brightness: f64,
    /// The darkest quadrant's mean brightness over the brightest's, 0 to 1.
    pub evenness: f64,
    /// The share that is overexposed, 0 to 1.
    pub overexposed: f64,
    /// The share that red has of red, green and blue, 0 to 1.
    pub red_share: f64,
}

/// What was measured of a photograph, and whether a grade can be read from it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Quality {
    /// Whether a grade can be read: there are no reasons against it.
    pub gradable: bool,
    /// Why not.
    pub reasons: Vec<Shortcoming>,
    /// Where the retina is seen, in pixels.
    pub field_of_view: Option<FieldOfView>,
    /// The share of the field's ellipse that is bright, 0 to 1.
    pub field_fill: Option<f64>,
    /// Variance of the Laplacian of green within the field, in squares of 8-bit levels, at 256 pixels a side (Pech-Pacheco et al. 2000).
    pub sharpness: Option<f64>,
    /// How it is lit.
    pub illumination: Option<Illumination>,
}

impl Quality {
    /// Measures a photograph and judges it by the rules of a model.
    pub fn assess(photograph: &Photograph, preprocessing: &Preprocessing) -> Self {
        let rules = &preprocessing.quality;
        let Some(field) = preprocessing.field_of_view(photograph) else {
            return Self::without_field(Shortcoming::NoFieldOfView);
        };
        let plane = field.square(&photograph.pixels, SIDE);
        let Some(measured) = Measured::new(&plane, field, preprocessing.field_of_view.threshold) else {
            return Self::without_field(Shortcoming::NoFieldOfView);
        };
        let illumination = measured.illumination;
        let (short, long) = (field.width.min(field.height), field.width.max(field.height));
        let [darkest, brightest] = rules.brightness;
        let judged = [
            (short < rules.field_side_min, Shortcoming::FieldTooSmall),
            (
                f64::from(long) / f64::from(short) > rules.field_aspect_max
                    || measured.fill < rules.field_fill_min,
                Shortcoming::FieldNotRound,
            ),
            (illumination.red_share < rules.red_share_min, Shortcoming::NotARetina),
            (measured.sharpness < rules.sharpness_min, Shortcoming::Blurred),
            (illumination.brightness < darkest, Shortcoming::TooDark),
            (
                illumination.brightness > brightest || illumination.overexposed > rules.overexposed_max,
                Shortcoming::TooBright,
            ),
            (illumination.evenness < rules.evenness_min, Shortcoming::UnevenIllumination),
        ];
        let reasons: Vec<_> = judged.into_iter().filter_map(|(bad, reason)| bad.then_some(reason)).collect();
        Self {
            gradable: reasons.is_empty(),
            reasons,
            field_of_view: Some(field),
            field_fill: Some(measured.fill),
            sharpness: Some(measured.sharpness),
            illumination: Some(illumination),
        }
    }

    fn without_field(reason: Shortcoming) -> Self {
        Self {
            gradable: false,
            reasons: vec![reason],
            field_of_view: None,
            field_fill: None,
            sharpness: None,
            illumination: None,
        }
    }
}

struct Measured {
    fill: f64,
    sharpness: f64,
    illumination: Illumination,
}

/// Sum and number of what was added.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    squares: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.squares += value * value;
        self.count += 1;
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }

    fn variance(self) -> Option<f64> {
        self.mean().map(|mean| (self.squares / f64::from(self.count) - mean * mean).max(0.0))
    }
}

impl Measured {
    /// `None` where the field is too narrow or too dark for anything to be measured in it.
    fn new(plane: &Plane, field: FieldOfView, threshold: u8) -> Option<Self> {
        let side = f64::from(field.side());
        let (half_width, half_height) =
            (0.5 * f64::from(field.width) / side, 0.5 * f64::from(field.height) / side);
        let value =
            |x: usize, y: usize, channel: usize| f64::from(plane.values[(y * SIDE + x) * 3 + channel]);
        let (mut bright, mut laplacian, mut overexposed) =
            (Mean::default(), Mean::default(), Mean::default());
        let (mut quadrants, mut channels) = ([Mean::default(); 4], [Mean::default(); 3]);
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let dx = ((x as f64 + 0.5) / SIDE as f64 - 0.5) / half_width;
            let dy = ((y as f64 + 0.5) / SIDE as f64 - 0.5) / half_height;
            let far = dx.hypot(dy);
            if far > 1.0 {
                continue;
            }
            let rgb = [0, 1, 2].map(|channel| value(x, y, channel));
            let brightness = rgb.into_iter().fold(0.0, f64::max);
            bright.add(f64::from(u8::from(brightness > f64::from(threshold))));
            quadrants[usize::from(dx > 0.0) + 2 * usize::from(dy > 0.0)].add(brightness);
            for (channel, value) in channels.iter_mut().zip(rgb) {
                channel.add(value);
            }
            overexposed.add(f64::from(u8::from(rgb[0] >= 250.0 && rgb[1] >= 250.0)));
            if far <= INNER && (1..SIDE - 1).contains(&x) && (1..SIDE - 1).contains(&y) {
                let around =
                    value(x - 1, y, 1) + value(x + 1, y, 1) + value(x, y - 1, 1) + value(x, y + 1, 1);
                laplacian.add(around - 4.0 * rgb[1]);
            }
        }
        let means: Vec<f64> = quadrants.iter().filter_map(|quadrant| quadrant.mean()).collect();
        let darkest = means.iter().copied().fold(f64::INFINITY, f64::min);
        let brightest = means.iter().copied().fold(0.0, f64::max);
        let sum: f64 = channels.iter().map(|channel| channel.sum).sum();
        if brightest <= 0.0 || sum <= 0.0 {
            return None;
        }
        let illumination = Illumination {
            brightness: means.iter().sum::<f64>() / means.len() as f64,
            evenness: darkest / brightest,
            overexposed: overexposed.mean()?,
            red_share: channels[0].sum / sum,
        };
        Some(Self { fill: bright.mean()?, sharpness: laplacian.variance()?, illumination })
    }
}
