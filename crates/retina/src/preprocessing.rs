//! From a photograph to a model's input, by the rules in the model's manifest.

use serde::Deserialize;

use crate::{
    FieldOfView, Photograph, QualityRules, RuleError,
    resize::Plane,
    rules::{read, within},
};

const PART: &str = "preprocessing";

/// How the field of view is found.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// A pixel is bright when the largest of its red, green and blue is above this, of 255.
    pub threshold: u8,
    /// A row or column belongs to the field when more than this share of its pixels are bright, 0 to 1.
    pub share_min: f64,
}

/// Ben Graham's preprocessing (Kaggle Diabetic Retinopathy Detection, 2015): `4 * image - 4 * blur(sigma) + 128`, cut to 0..255.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenGraham {
    /// Standard deviation of the blur, in pixels of the model's input.
    pub sigma: f64,
}

/// The steps, as data. `models/retina_preprocessing.py` describes and does the same.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// How the field of view is found; it is cut out and centred in a black square.
    pub field_of_view: FieldRule,
    /// Side of the model's input, in pixels; the resizing filter is the triangle.
    pub size: usize,
    /// Evens out the illumination, where the model was trained so.
    pub ben_graham: Option<BenGraham>,
    /// Taken from red, green and blue in 0 to 1.
    pub mean: [f32; 3],
    /// What the differences are divided by.
    pub standard_deviation: [f32; 3],
    /// What a photograph must have for a grade to be read from it.
    #[serde(default)]
    pub quality: QualityRules,
}

impl Preprocessing {
    /// Reads and checks a manifest's `preprocessing`.
    ///
    /// # Errors
    /// What is missing, unknown or out of range.
    pub fn read(value: &serde_json::Value) -> Result<Self, RuleError> {
        let rules: Self = read(PART, value)?;
        within(PART, "share_min", rules.field_of_view.share_min, (0.0, 0.5))?;
        within(PART, "size", rules.size as f64, (16.0, 2048.0))?;
        if let Some(ben_graham) = rules.ben_graham {
            within(PART, "sigma", ben_graham.sigma, (0.5, rules.size as f64 / 4.0))?;
        }
        for (mean, deviation) in rules.mean.iter().zip(rules.standard_deviation) {
            within(PART, "mean", f64::from(*mean), (-1.0, 2.0))?;
            within(PART, "standard_deviation", f64::from(deviation), (1e-3, 10.0))?;
        }
        rules.quality.check()?;
        Ok(rules)
    }

    /// The field of view; `None` where nothing is bright enough.
    pub fn field_of_view(&self, photograph: &Photograph) -> Option<FieldOfView> {
        FieldOfView::find(&photograph.pixels, self.field_of_view)
    }

    /// The model's input: `[3, size, size]`, row-major (channel, row, column).
    pub fn prepare(&self, photograph: &Photograph, field: FieldOfView) -> Vec<f32> {
        let mut plane = field.square(&photograph.pixels, self.size);
        if let Some(BenGraham { sigma }) = self.ben_graham {
            let blurred = blur(&plane, sigma);
            for (value, blurred) in plane.values.iter_mut().zip(blurred) {
                *value = (4.0 * *value - 4.0 * blurred + 128.0).clamp(0.0, 255.0);
            }
        }
        let channel = |channel: usize| {
            let (mean, deviation) = (self.mean[channel], self.standard_deviation[channel]);
            let values = plane.values.iter().skip(channel).step_by(3);
            values.map(move |value| (value / 255.0 - mean) / deviation)
        };
        (0..3).flat_map(channel).collect()
    }
}

/// A Gaussian blur of radius `round(3 sigma)`; the picture goes on beyond its edge mirrored at the outermost pixel.
fn blur(plane: &Plane, sigma: f64) -> Vec<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sigma is checked: at most size / 4"
    )]
    let radius = (3.0 * sigma).round() as usize;
    let weight = |at: usize| (-0.5 * ((at as f64 - radius as f64) / sigma).powi(2)).exp();
    let sum: f64 = (0..=2 * radius).map(weight).sum();
    #[expect(clippy::cast_possible_truncation, reason = "weights need no more than 24 bits")]
    let kernel: Vec<f32> = (0..=2 * radius).map(|at| (weight(at) / sum) as f32).collect();
    let size = plane.size;
    let mirrored = |at: usize| {
        // `at` counts from `radius` pixels before the edge.
        let inside = at.abs_diff(radius);
        if inside < size { inside } else { 2 * (size - 1) - inside }
    };
    let along = |values: &[f32], step: usize, line: usize| {
        let mut out = vec![0.0_f32; values.len()];
        for first in (0..size).flat_map(|index| (0..3).map(move |channel| index * line + channel)) {
            for place in 0..size {
                let sum = kernel
                    .iter()
                    .enumerate()
                    .map(|(at, weight)| weight * values[first + mirrored(place + at) * step]);
                out[first + place * step] = sum.sum();
            }
        }
        out
    };
    let across = along(&plane.values, 3, 3 * size);
    along(&across, 3 * size, 3)
}
