//! The drawn photographs, and rules to read them by.

use retina::{Limits, Photograph, Preprocessing};

/// A file of `tests/pictures`.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("tests/pictures/{name}")).unwrap()
}

pub(crate) fn photograph(name: &str) -> Photograph {
    Photograph::decode(&bytes(name), Limits::default()).unwrap()
}

pub(crate) fn rules() -> Preprocessing {
    let rules = serde_json::json!({
        "field_of_view": {"threshold": 16, "share_min": 0.02},
        "size": 96, "mean": [0.0, 0.0, 0.0], "standard_deviation": [1.0, 1.0, 1.0],
    });
    Preprocessing::read(&rules).unwrap()
}
