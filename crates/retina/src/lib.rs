//! Fundus photographs, from the bytes that a stranger sent to what a model's answer means.
//!
//! 1. [`Photograph::decode`] refuses what is no photograph, and decompression bombs before they are unpacked; what it keeps is
//!    pixels only, so [`Photograph::to_png`] holds no EXIF, position or other metadata.
//! 2. [`Quality::assess`] says whether a grade can be read from it. From what is ungradable none is.
//! 3. [`Preprocessing::prepare`] makes the model's input as the model's manifest says: it is part of the model, and the training
//!    script does the same (`models/retina_preprocessing.py`).
//! 4. [`Calibration::grade`] makes probabilities, a grade, a referable probability and perhaps an abstention of the model's logits;
//!    [`BothEyes::combine`] joins two eyes; [`heat_map`] draws what the grade was read from.
//!
//! Everything is a pure function: no file, no network, no clock. Grades are those of the International Clinical Diabetic Retinopathy
//! scale, 0 (none) to 4 (proliferative): Wilkinson et al., Ophthalmology 110 (2003) 1677. It is screening support, not a diagnosis.
#![warn(missing_docs)]

mod eyes;
mod field;
mod grading;
mod heat_map;
mod photograph;
mod preprocessing;
mod quality;
mod resize;
mod rules;

pub use eyes::{BothEyes, EYES_WITHIN_DAYS, Eye};
pub use field::FieldOfView;
pub use grading::{Abstain, Calibration, Decision, GRADES, Grading, Referable};
pub use heat_map::heat_map;
pub use photograph::{Format, Limits, Photograph, Refusal};
pub use preprocessing::{BenGraham, FieldRule, Preprocessing};
pub use quality::{Illumination, Quality, QualityRules, Shortcoming};
pub use rules::RuleError;
