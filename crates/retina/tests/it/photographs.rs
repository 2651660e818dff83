//! Decoding: what is taken, what is refused, and what is left behind.

use proptest::prelude::*;
use retina::{Format, Limits, Photograph, Refusal};

use crate::{bytes, photograph};

#[test]
fn jpeg_png_and_tiff_are_told_by_their_bytes() {
    assert_eq!(photograph("grade-0.jpg").format(), Format::Jpeg);
    assert_eq!(photograph("grade-0-b.jpg").format(), Format::Jpeg);
    assert_eq!(photograph("grade-3.png").format(), Format::Png);
    assert_eq!(photograph("grade-4.tif").format(), Format::Tiff);
    for strange in [&b""[..], b"GIF89a\x01\x00\x01\x00", b"<svg/>", b"BM\0\0\0\0", b"RIFF\0\0\0\0WEBPVP8 "] {
        assert_eq!(Photograph::decode(strange, Limits::default()), Err(Refusal::Format));
    }
}

/// The chunks of a PNG, by their types.
fn chunks(png: &[u8]) -> Vec<String> {
    let (mut at, mut found) = (8, Vec::new());
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        found.push(String::from_utf8(png[at + 4..at + 8].to_vec()).unwrap());
        at += 12 + length;
    }
    found
}

#[test]
fn what_is_kept_has_pixels_and_nothing_else() {
    let sent = bytes("on-its-side.jpg");
    for secret in ["CAMERA-MAKER", "SECRET-SOFTWARE", "SECRET-XMP", "SECRET-COMMENT"] {
        assert!(
            sent.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{secret} is not in the test's file"
        );
    }
    for name in ["on-its-side.jpg", "on-its-side.tif"] {
        let kept = photograph(name).to_png();
        let mut kinds = chunks(&kept);
        kinds.dedup();
        assert_eq!(kinds, ["IHDR", "IDAT", "IEND"], "{name}");
    }
}

#[test]
fn what_is_kept_is_upright_and_loses_nothing() {
    let upright = photograph("upright.png");
    let kept = photograph("on-its-side.tif");
    assert_eq!(kept.to_png(), upright.to_png());
    let again = Photograph::decode(&kept.to_png(), Limits::default()).unwrap();
    assert_eq!(again, upright);
    assert_eq!(photograph("on-its-side.jpg").width(), upright.width());
}

#[test]
fn an_incomplete_file_is_damaged_and_not_filled_with_grey() {
    for name in ["grade-3.jpg", "grade-3-b.jpg", "grade-3.png", "grade-4.tif", "on-its-side.jpg"] {
        let whole = bytes(name);
        for part in [whole.len() / 4, whole.len() / 2, whole.len() * 9 / 10] {
            let cut = Photograph::decode(&whole[..part], Limits::default());
            assert_eq!(cut, Err(Refusal::Damaged), "{name} cut to {part}");
        }
    }
}

#[test]
fn a_photograph_without_room_for_a_retina_is_too_small() {
    let limits = Limits { side_min: 161, ..Limits::default() };
    let refused = Photograph::decode(&bytes("grade-0.jpg"), limits);
    assert_eq!(refused, Err(Refusal::TooSmall { width: 160, height: 160, side_min: 161 }));
}

#[test]
fn limits_are_kept_to_the_pixel() {
    let decode = |limits| Photograph::decode(&bytes("wide.png"), limits);
    let exact = Limits { side_min: 140, side_max: 240, pixels_max: 240 * 140 };
    assert!(decode(exact).is_ok());
    let side = decode(Limits { side_max: 239, ..exact });
    assert!(matches!(side, Err(Refusal::TooLarge { .. })), "{side:?}");
    let pixels = decode(Limits { pixels_max: 240 * 140 - 1, ..exact });
    let told = Refusal::TooLarge { width: 240, height: 140, side_max: 240, pixels_max: 240 * 140 - 1 };
    assert_eq!(pixels, Err(told));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Flipped bytes are refused, or give a photograph of pixels; they never panic.
    #[test]
    fn damaged_files_do_not_panic(name in prop::sample::select(vec!["grade-3.jpg", "grade-3-b.jpg", "grade-3.png", "grade-4.tif"]),
        flips in prop::collection::vec((0..10_000_usize, any::<u8>()), 1..12)) {
        let mut bytes = bytes(name);
        for (place, value) in flips {
            let at = bytes.len() * place / 10_000;
            bytes[at] = value;
        }
        let limits = Limits { side_min: 1, side_max: 512, pixels_max: 512 * 512 };
        if let Ok(photograph) = Photograph::decode(&bytes, limits) {
            prop_assert!(photograph.width() <= 512 && photograph.height() <= 512);
        }
    }
}
