//! The same input as the training script makes of the same photograph.

use retina::Preprocessing;

use crate::photograph;

#[derive(serde::Deserialize)]
struct Vector {
    picture: String,
    preprocessing: serde_json::Value,
    file: String,
}

#[test]
fn python_and_rust_make_the_same_input_within_one_of_255_levels() {
    let listed = std::fs::read("tests/vectors/vectors.json").unwrap();
    let listed: Vec<Vector> = serde_json::from_slice(&listed).unwrap();
    assert!(listed.len() >= 6);
    for Vector { picture, preprocessing, file } in listed {
        let rules = Preprocessing::read(&preprocessing).unwrap();
        let photograph = photograph(&picture);
        let made = rules.prepare(&photograph, rules.field_of_view(&photograph).unwrap());
        let stored = std::fs::read(format!("tests/vectors/{file}")).unwrap();
        let stored = stored.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert_eq!(made.len(), stored.len());
        let plane = rules.size * rules.size;
        let levels = made.iter().zip(stored).enumerate().map(|(index, (made, stored))| {
            (made - stored).abs() * rules.standard_deviation[index / plane] * 255.0
        });
        let worst = levels.fold(0.0, f32::max);
        assert!(worst <= 1.0, "{file}: {worst} levels");
    }
}

#[test]
fn rules_that_cannot_be_followed_are_refused_with_the_reason() {
    let good = serde_json::json!({"field_of_view": {"threshold": 16, "share_min": 0.02}, "size": 96,
        "ben_graham": {"sigma": 4.0}, "mean": [0.5, 0.5, 0.5], "standard_deviation": [0.2, 0.2, 0.2],
        "quality": {"sharpness_min": 3.0, "evenness_min": 0.5}});
    assert!((Preprocessing::read(&good).unwrap().quality.sharpness_min - 3.0).abs() < 1e-9);
    let faults = [
        ("/size", serde_json::json!(0), "size is 0"),
        ("/size", serde_json::json!(1_000_000), "size is 1000000"),
        ("/ben_graham/sigma", serde_json::json!(60.0), "sigma is 60"),
        ("/standard_deviation/1", serde_json::json!(0.0), "standard_deviation is 0"),
        ("/quality/evenness_min", serde_json::json!(2.0), "evenness_min is 2"),
        ("/mean", serde_json::json!([0.5]), "length"),
        ("/quality", serde_json::json!({"sharpnes_min": 1}), "sharpnes_min"),
    ];
    for (pointer, value, message) in faults {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = Preprocessing::read(&bad).unwrap_err().to_string();
        assert!(error.contains(message), "{pointer}: {error}");
    }
}
