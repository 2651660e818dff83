//! What can be graded and what cannot; what the map shows.

use image::{GenericImageView, ImageReader};
use retina::{Quality, Shortcoming, heat_map};

use crate::pictures::{photograph, rules};

#[test]
fn a_clear_photograph_of_each_grade_is_gradable() {
    let names = (0..5).flat_map(|grade| [format!("grade-{grade}.jpg"), format!("grade-{grade}-b.jpg")]);
    for name in names.chain(["grade-3.png", "grade-4.tif", "wide.png"].map(str::to_owned)) {
        let quality = Quality::assess(&photograph(&name), &rules());
        assert!(quality.gradable, "{name}: {quality:?}");
    }
}

#[test]
fn an_ungradable_photograph_has_its_own_reason() {
    let expected = [
        ("blurred", Shortcoming::Blurred),
        ("dark", Shortcoming::TooDark),
        ("overexposed", Shortcoming::TooBright),
        ("half", Shortcoming::UnevenIllumination),
        ("no_retina", Shortcoming::NoFieldOfView),
    ];
    for (kind, reason) in expected {
        let quality = Quality::assess(&photograph(&format!("ungradable-{kind}.jpg")), &rules());
        assert!(!quality.gradable && quality.reasons.contains(&reason), "{kind}: {quality:?}");
    }
}

#[test]
fn the_field_of_view_of_a_wide_photograph_is_cut_out() {
    let field = rules().field_of_view(&photograph("wide.png")).unwrap();
    // The circle lies between columns 40 and 200, of which it fills about 0.95; its top and bottom are cut off.
    assert!(
        (40..=50).contains(&field.left) && (190..=200).contains(&(field.left + field.width)),
        "{field:?}"
    );
    assert_eq!((field.top, field.height), (0, 140));
}

#[test]
fn the_map_is_hot_where_the_activation_is_and_nowhere_else() {
    let photograph = photograph("grade-0.jpg");
    let field = rules().field_of_view(&photograph).unwrap();
    let mut activation = vec![-1.0_f32; 12 * 12];
    activation[3 * 12 + 6] = 2.0;
    let drawn = heat_map(&photograph, field, &activation, 12).unwrap();
    let cold = heat_map(&photograph, field, &[0.0; 144], 12).unwrap();
    let read = |png: &[u8]| {
        ImageReader::new(std::io::Cursor::new(png.to_vec())).with_guessed_format().unwrap().decode().unwrap()
    };
    let (drawn, cold) = (read(&drawn), read(&cold));
    assert_eq!(drawn.dimensions(), (512, 512));
    // The middle of place (3, 6), and one far from it.
    let (x, y) = (512 * 13 / 24, 512 * 7 / 24);
    let (hot, before) = (drawn.get_pixel(x, y).0, cold.get_pixel(x, y).0);
    assert!(hot[0] > before[0] && hot[1] < before[1], "{hot:?} {before:?}");
    assert_eq!(drawn.get_pixel(256, 400), cold.get_pixel(256, 400));
    assert_eq!(heat_map(&photograph, field, &activation, 11), None);
    activation[0] = f32::NAN;
    assert_eq!(heat_map(&photograph, field, &activation, 12), None);
}
