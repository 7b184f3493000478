"""Shapes: ten kinds of rendered shapes, as a TensorFlow Datasets builder.

A network is proved to learn only by training it on labelled images, and tests
and first runs must do so without a download. This set is drawn on the spot, in
seconds, and every image depends on its split and index alone.

The ten classes differ by geometry and stay apart under rotation. Colour,
texture, size, angle and place are drawn independently of the class, so only the
outline tells it. Contrast and size are set so that a small MobileNet reaches
about 95 % in ten epochs: much smaller shapes, or stray dots and lines on top,
call for more images. Import this module, then `tfds.load("shapes")`.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds

FloatArray = npt.NDArray[np.float32]
ImageArray = npt.NDArray[np.uint8]

IMAGE_SIZE = 64
# fmt: off
LABELS = (
    "arrow", "circle", "crescent", "cross", "heart",
    "hourglass", "ring", "square", "star", "triangle",
)
# fmt: on
# The position of a split in this table is part of its images' seeds.
SPLIT_SIZES = (("train", 4000), ("test", 1000))

RING_HOLE = 0.55  # Radius of the hole.
CRESCENT_CUT = (0.5, 0.75)  # Centre's x and radius of the disc cut out.
CROSS_ARM = 0.3  # Half the width of an arm.
STAR_INNER = 0.42  # Radius of the five inner corners.

_SEED = 20170417
_DIAMETERS = (0.5, 0.9)  # Of the circle round the shape, over the image's side.
_MIN_CONTRAST = 0.9  # Between base colours: Euclidean, in RGB of 0 to 1.
_MAX_TONE = 0.08  # How far a texture strays from its base colour, likewise.
_MAX_NOISE = 0.05  # Standard deviation of the pixel noise.
_TEXTURES = ("plain", "stripes", "checks", "blobs")

_DESCRIPTION = """
Ten kinds of shapes, one to a 64 x 64 colour image, at random size, angle and
place, with random colours, textures and noise. Rendered, not downloaded; the
same on every run. 4,000 training and 1,000 test images, evenly divided among
the classes.
"""
_CITATION = """
@misc{mobilenet_tf_shapes,
  title = {Shapes: ten kinds of rendered shapes for short training runs},
  note = {Distributed with mobilenet_tf}
}
"""


def signed_distance(name: str, x: FloatArray, y: FloatArray) -> FloatArray:
    """Signed distance to the outline of an upright shape of circumradius 1.

    Near the joints of heart and crescent it is a bound, with the right sign.

    Args:
        name: One of `LABELS`.
        x: Float32 horizontal coordinates; the unit circle encloses the shape.
        y: Float32 vertical coordinates, downwards, of the same rank as `x`.

    Returns:
        Float32 distances, of the two's broadcast shape: negative inside.

    Raises:
        ValueError: If `name` is not one of `LABELS`.
    """
    if name == "circle":
        return _disc(x, y, 0.0, 0.0, 1.0)
    if name == "ring":
        return np.maximum(_disc(x, y, 0.0, 0.0, 1.0), -_disc(x, y, 0.0, 0.0, RING_HOLE))
    if name == "crescent":
        shift, radius = CRESCENT_CUT
        return np.maximum(_disc(x, y, 0.0, 0.0, 1.0), -_disc(x, y, shift, 0.0, radius))
    if name == "heart":
        return _heart(x, y)
    return _polygon(x, y, _vertices(name))


def shape_mask(
    name: str, size: int, center: tuple[float, float], radius: float, angle: float
) -> FloatArray:
    """Coverage of each pixel by a shape, anti-aliased over one pixel.

    Args:
        name: One of `LABELS`.
        size: Side of the square mask in pixels.
        center: x and y of the enclosing circle's centre, in pixels from the top left
            corner; the middle of the first pixel is at 0.5.
        radius: Radius of the enclosing circle in pixels, above 0.
        angle: Rotation in radians.

    Returns:
        A float32 array of shape `(size, size)` with values from 0 to 1.

    Raises:
        ValueError: If `name` is unknown or `radius` is not above 0.
    """
    if radius <= 0:
        raise ValueError(f"radius must be above 0, got {radius}")
    x, y = _pixel_grid(size)
    x, y = (x - center[0]) / radius, (y - center[1]) / radius
    cos, sin = math.cos(angle), math.sin(angle)
    return _coverage(signed_distance(name, cos * x + sin * y, cos * y - sin * x) * radius)


def render(split: str, index: int) -> tuple[ImageArray, int]:
    """Renders one example: a pure function of its arguments.

    Args:
        split: "train" or "test".
        index: Position in the split, from 0. Labels take turns, so every ten images
            in a row hold each class once.

    Returns:
        The image, uint8 `(64, 64, 3)` with values from 0 to 255, and its label, 0 to 9.

    Raises:
        ValueError: If `split` is unknown or `index` is outside it.
    """
    sizes = dict(SPLIT_SIZES)
    if split not in sizes:
        raise ValueError(f"split must be one of {tuple(sizes)}, got {split!r}")
    if not 0 <= index < sizes[split]:
        raise ValueError(f"index must be in [0, {sizes[split]}) for {split!r}, got {index}")
    rng = np.random.default_rng((_SEED, tuple(sizes).index(split), index))
    label = index % len(LABELS)
    foreground, background = pick_colors(rng)
    radius = IMAGE_SIZE * rng.uniform(*_DIAMETERS) / 2
    # The enclosing circle stays inside the image, so no shape is ever cut off.
    center = (rng.uniform(radius, IMAGE_SIZE - radius), rng.uniform(radius, IMAGE_SIZE - radius))
    mask = shape_mask(LABELS[label], IMAGE_SIZE, center, radius, rng.uniform(0, 2 * math.pi))
    image = _paint(rng, background)  # Channels come first until the end: it is faster.
    image += mask * (_paint(rng, foreground) - image)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image += rng.uniform(0, _MAX_NOISE) * noise
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0)), label


def pick_colors(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draws two colours that stand apart.

    Args:
        rng: The source of randomness.

    Returns:
        Foreground and background: float32 arrays of shape `(3,)`, values from 0.08 to
        0.92, so that no texture clips, at a Euclidean distance of 0.9 or more.
    """
    while True:
        first, second = rng.uniform(_MAX_TONE, 1 - _MAX_TONE, size=(2, 3)).astype(np.float32)
        if np.linalg.norm(first - second) >= _MIN_CONTRAST:
            return first, second


class Shapes(tfds.core.GeneratorBasedBuilder):
    """The `shapes` dataset: 4,000 training and 1,000 test images, ten classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png")
        label = tfds.features.ClassLabel(names=list(LABELS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
            citation=_CITATION,
            redistribution_info={"license": "Apache-2.0"},
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing to download.
        return {split: self._generate_examples(split, size) for split, size in SPLIT_SIZES}

    def _generate_examples(self, split: str, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(size):
            image, label = render(split, index)
            yield index, {"image": image, "label": label}


def _disc(x: FloatArray, y: FloatArray, cx: float, cy: float, radius: float) -> FloatArray:
    return np.hypot(x - cx, y - cy) - radius


def _heart(x: FloatArray, y: FloatArray) -> FloatArray:
    """A square on its tip, with a half disc on each of its two upper sides."""
    half = (3 - math.sqrt(2)) / 2  # Half diagonal: makes the enclosing circle's radius 1.
    y = y - (math.sqrt(2) - 1) / 2  # Puts that circle's centre at the origin.
    corners = [(0, half), (half, 0), (0, -half), (-half, 0)]
    lobes = _disc(np.abs(x), y, half / 2, -half / 2, half / math.sqrt(2))
    return np.minimum(_polygon(x, y, np.array(corners, np.float32)), lobes)


def _vertices(name: str) -> FloatArray:
    """Corners of a polygonal class, in order, as an array of shape (corners, 2)."""
    if name == "triangle":
        return _ring_of_points(np.ones(3))
    if name == "square":
        return _ring_of_points(np.ones(4))
    if name == "star":
        return _ring_of_points(np.tile([1.0, STAR_INNER], 5))
    if name == "cross":
        a, b = CROSS_ARM, math.sqrt(1 - CROSS_ARM**2)
        quarter = np.array([(b, -a), (b, a), (a, a)])
        turn = np.array([[0, 1], [-1, 0]])  # A quarter turn, for row vectors.
        turns = [quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]
        return np.concatenate(turns).astype(np.float32)
    if name == "arrow":
        upper = [(1.0, 0.0), (0.15, 0.75), (0.15, 0.25), (-0.96, 0.25)]
        return np.array(upper + [(x, -y) for x, y in upper[:0:-1]], np.float32)
    if name == "hourglass":
        right = [(0.6, -0.8), (0.1, 0.0), (0.6, 0.8)]
        return np.array(right + [(-x, y) for x, y in right[::-1]], np.float32)
    raise ValueError(f"name must be one of {LABELS}, got {name!r}")


def _ring_of_points(radii: npt.NDArray[np.float64]) -> FloatArray:
    """Points at equal angles round the origin, at the radii given."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return (radii * np.stack([np.cos(angles), np.sin(angles)])).T.astype(np.float32)


def _polygon(x: FloatArray, y: FloatArray, vertices: FloatArray) -> FloatArray:
    """Signed distance to a simple polygon; a leading axis runs over its edges."""
    column = (-1,) + (1,) * x.ndim
    ax, ay = (v.reshape(column) for v in vertices.T)
    bx, by = (v.reshape(column) for v in np.roll(vertices, -1, axis=0).T)
    ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
    # To the nearest point of each edge.
    along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
    squared = (px - along * ex) ** 2 + (py - along * ey) ** 2
    # Inside if a ray to the right crosses an odd number of edges.
    crosses = ((ay <= y) != (by <= y)) & ((ex * py > ey * px) == (by > ay))
    sign = np.where(np.logical_xor.reduce(crosses), np.float32(-1), np.float32(1))
    return sign * np.sqrt(squared.min(axis=0))


def _pixel_grid(size: int) -> tuple[FloatArray, FloatArray]:
    """x and y of the pixel centres, as a row and a column."""
    steps = np.arange(size, dtype=np.float32) + np.float32(0.5)
    return steps[np.newaxis], steps[:, np.newaxis]


def _coverage(distance: FloatArray) -> FloatArray:
    """Smoothstep from 1 half a pixel inside to 0 half a pixel outside."""
    t = np.clip(0.5 - distance, 0, 1)
    return t * t * (3 - 2 * t)


def _paint(rng: np.random.Generator, color: FloatArray) -> FloatArray:
    """A textured area: shape (3, 64, 64), within `_MAX_TONE` of the colour."""
    tone = rng.standard_normal((3, 1, 1), dtype=np.float32)
    tone *= rng.uniform(0.3, 1) * _MAX_TONE / float(np.linalg.norm(tone))
    return color.reshape(3, 1, 1) + tone * _texture(rng, _TEXTURES[rng.integers(len(_TEXTURES))])


def _texture(rng: np.random.Generator, kind: str) -> FloatArray:
    """A pattern of values from -1 to 1, of shape (64, 64)."""
    if kind == "plain":
        return np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    if kind == "blobs":
        cells = int(rng.integers(4, 24))
        # Linear interpolation from a coarse grid, as a matrix on either side.
        at = np.linspace(0, cells - 1, IMAGE_SIZE, dtype=np.float32)[:, np.newaxis]
        weights = np.maximum(0, 1 - np.abs(at - np.arange(cells, dtype=np.float32)))
        grid = rng.standard_normal((cells, cells), dtype=np.float32)
        return np.clip(weights @ grid @ weights.T, -1, 1)
    x, y = _pixel_grid(IMAGE_SIZE)
    angle, phase_x, phase_y = rng.uniform(0, 2 * math.pi, size=3).tolist()
    frequency = 2 * math.pi / rng.uniform(4, 16)
    cos, sin = frequency * math.cos(angle), frequency * math.sin(angle)
    field = np.sin(cos * x + sin * y + phase_x)
    if kind == "checks":
        field = field * np.sin(cos * y - sin * x + phase_y)
    return np.tanh(4 * field)  # Nearly two-valued, with soft edges.
