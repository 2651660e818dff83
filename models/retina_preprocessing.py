"""How a fundus photograph becomes a model's input, from the manifest's `preprocessing`: the same steps as crates/retina.

1. Field of view: the rows and columns of which more than `share_min` of the pixels are brighter than `threshold` (the largest
   of red, green and blue, 0 to 255), from the first to the last; centred in a black square.
2. Resized to `size` x `size` by the triangle filter, widened to the scale (what Pillow calls BILINEAR).
3. `ben_graham`, if given: 4 * image - 4 * blur(sigma) + 128, cut to 0..255; the blur is Gaussian of radius round(3 sigma), and
   the image goes on beyond its edge mirrored at the outermost pixel.
4. (value / 255 - mean) / standard_deviation for each channel, laid out as channel, row, column.
"""

import numpy as np


def field_of_view(pixels, rule):
    """(left, top, width, height), or None where nothing is bright."""
    bright = pixels.max(axis=2) > rule["threshold"]
    columns = np.flatnonzero(bright.mean(axis=0) > rule["share_min"])
    rows = np.flatnonzero(bright.mean(axis=1) > rule["share_min"])
    if not columns.size or not rows.size:
        return None
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def triangle(source, target):
    """The matrix that resizes `source` values to `target` ones."""
    scale = source / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def blur(image, sigma):
    radius = round(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(0, 0)] * 3
        padding[axis] = (radius, radius)
        wide = np.pad(image, padding, mode="reflect")
        length = image.shape[axis]
        image = sum(
            weight * np.take(wide, np.arange(at, at + length), axis=axis) for at, weight in enumerate(kernel)
        )
    return image


def square(pixels, field, size):
    """The field of view of `pixels` [height, width, 3], in a black square of `size`, 0 to 255."""
    left, top, width, height = field
    side = max(width, height)
    padded = np.zeros((side, side, 3))
    x, y = (side - width) // 2, (side - height) // 2
    padded[y : y + height, x : x + width] = pixels[top : top + height, left : left + width]
    matrix = triangle(side, size)
    return np.tensordot(matrix, np.tensordot(matrix, padded, (1, 1)), (1, 1))


def prepare(pixels, preprocessing):
    """The input [3, size, size] of a photograph [height, width, 3] of 8-bit values; None without a field of view."""
    field = field_of_view(pixels, preprocessing["field_of_view"])
    if field is None:
        return None
    image = square(pixels, field, preprocessing["size"])
    if ben_graham := preprocessing.get("ben_graham"):
        image = np.clip(4.0 * image - 4.0 * blur(image, ben_graham["sigma"]) + 128.0, 0.0, 255.0)
    image = (image / 255.0 - preprocessing["mean"]) / preprocessing["standard_deviation"]
    return image.transpose(2, 0, 1).astype(np.float32)
