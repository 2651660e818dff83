#!/usr/bin/env python3
"""Makes crates/retina/tests/pictures and crates/retina/tests/vectors: drawn photographs, and what Python's preprocessing makes of
them. The tests on both sides compare their own result with these."""

import json
import pathlib

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import draw_fundus
from retina_preprocessing import prepare

TESTS = pathlib.Path(__file__).parent.parent / "crates/retina/tests"
SEED = 300_000
PLAIN = {
    "field_of_view": {"threshold": 16, "share_min": 0.02},
    "size": 48,
    "mean": [0.0, 0.0, 0.0],
    "standard_deviation": [1.0, 1.0, 1.0],
}
RULES = {
    "plain": PLAIN,
    "ben-graham": PLAIN | {"ben_graham": {"sigma": 4.0}},
    "normalised": PLAIN | {"mean": [0.45, 0.22, 0.12], "standard_deviation": [0.28, 0.16, 0.12]},
}
VECTORS = [("grade-3.png", "plain"), ("grade-3.png", "ben-graham"), ("grade-2.jpg", "plain"), ("grade-4.tif", "plain"),
           ("grade-2.jpg", "normalised"), ("wide.png", "ben-graham")]


def metadata():
    """What a phone or a camera adds: a position, names, and that the picture lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn it by 90 degrees clockwise.
    exif[0x010F], exif[0x0131] = "CAMERA-MAKER", "SECRET-SOFTWARE"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (IFDRational(48), IFDRational(8), IFDRational(0))
    return exif


def pictures(folder):
    def save(image, name, **options):
        image.save(folder / name, **options)

    for grade in range(5):
        options = {"quality": 92, "subsampling": 0}
        save(draw_fundus.fundus(grade, SEED), f"grade-{grade}.jpg", **options)
        save(draw_fundus.fundus(grade, SEED + 1), f"grade-{grade}-b.jpg", **options, progressive=True)
    save(draw_fundus.fundus(3, SEED + 2), "grade-3.png")
    save(draw_fundus.fundus(4, SEED + 3), "grade-4.tif", compression="tiff_lzw")
    # A camera's format: wider than the field of view, whose top and bottom are cut off.
    wide = Image.new("RGB", (240, 140))
    wide.paste(draw_fundus.fundus(2, SEED + 4).crop((0, 10, 160, 150)), (40, 0))
    save(wide, "wide.png")
    for kind in draw_fundus.UNGRADABLE:
        save(draw_fundus.ungradable(kind, SEED), f"ungradable-{kind}.jpg", quality=92, subsampling=0)
    upright = draw_fundus.fundus(1, SEED + 5)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>SECRET-XMP</x:xmpmeta>"
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    save(turned, "on-its-side.jpg", quality=95, subsampling=0, exif=metadata(), xmp=xmp, comment=b"SECRET-COMMENT")
    save(turned, "on-its-side.tif", compression="tiff_lzw", tiffinfo={274: 6, 305: "SECRET-SOFTWARE"})
    save(upright, "upright.png")


def vectors(folder, photographs):
    listed = []
    for picture, name in VECTORS:
        pixels = np.asarray(Image.open(photographs / picture).convert("RGB"))
        file = f"{picture.replace('.', '-')}-{name}.f32"
        (folder / file).write_bytes(prepare(pixels, RULES[name]).astype("<f4").tobytes())
        listed.append({"picture": picture, "preprocessing": RULES[name], "file": file})
    (folder / "vectors.json").write_text(json.dumps(listed, indent=1) + "\n")


def main():
    for name in ("pictures", "vectors"):
        (TESTS / name).mkdir(parents=True, exist_ok=True)
    pictures(TESTS / "pictures")
    vectors(TESTS / "vectors", TESTS / "pictures")


if __name__ == "__main__":
    main()
