"""The shapes dataset against geometry, its own promises, and a round trip through TFDS."""

import itertools
import math
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mobilenet_tf.data import datasets, shapes, tfds_source

EXAMPLES = 50  # Of each split, in the reduced dataset.


def _lens_area(r: float, s: float, d: float) -> float:
    """Common area of two circles of radii r and s whose centres are d apart."""
    at_r = math.acos((d * d + r * r - s * s) / (2 * d * r))
    at_s = math.acos((d * d + s * s - r * r) / (2 * d * s))
    kite = (-d + r + s) * (d + r - s) * (d - r + s) * (d + r + s)
    return r * r * at_r + s * s * at_s - math.sqrt(kite) / 2


def _area(name: str) -> float:
    """Area of each class at circumradius 1, by the school formula for its parts."""
    arm, arm_length = shapes.CROSS_ARM, math.sqrt(1 - shapes.CROSS_ARM**2)
    cut_at, cut_radius = shapes.CRESCENT_CUT
    heart_side = (3 - math.sqrt(2)) / math.sqrt(2)
    return {
        "arrow": 1.5 * 0.85 / 2 + 0.5 * 1.11,  # Triangle and rectangle.
        "circle": math.pi,
        "crescent": math.pi - _lens_area(1, cut_radius, cut_at),
        "cross": 8 * arm * arm_length - 4 * arm**2,  # Two bars less their overlap.
        "heart": heart_side**2 * (1 + math.pi / 4),  # A square and two half discs.
        "hourglass": 2 * 0.8 * (1.2 + 0.2) / 2,  # Two trapezoids.
        "ring": math.pi * (1 - shapes.RING_HOLE**2),
        "square": 2.0,
        "star": 5 * shapes.STAR_INNER * math.sin(math.pi / 5),  # Ten triangles.
        "triangle": 3 * math.sqrt(3) / 4,
    }[name]


def _centred(name: str, angle: float, size: int = 64) -> np.ndarray:
    return shapes.shape_mask(name, size, (size / 2, size / 2), 0.45 * size, angle)


@pytest.mark.parametrize("name", shapes.LABELS)
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.9])
def test_area_is_the_geometric_one(name: str, angle: float) -> None:
    mask = shapes.shape_mask(name, 256, (120.3, 131.8), 100.0, angle)
    assert mask.sum() == pytest.approx(_area(name) * 100.0**2, rel=0.005)


@pytest.mark.parametrize("name", shapes.LABELS)
def test_the_enclosing_circle_is_touched_and_kept(name: str) -> None:
    mask = shapes.shape_mask(name, 256, (128.0, 128.0), 100.0, 0.4)
    rows, columns = np.nonzero(mask > 0.5)
    reach = np.hypot(columns + 0.5 - 128, rows + 0.5 - 128).max()
    assert 97 < reach < 101


@pytest.mark.parametrize("name", shapes.LABELS)
def test_distance_changes_sign_on_the_outline_and_is_no_overestimate(name: str) -> None:
    steps = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    x, y = np.meshgrid(steps, steps)
    distance = shapes.signed_distance(name, x, y)
    # A distance never changes by more than one walks.
    assert np.abs(np.diff(distance, axis=0)).max() < 0.01 * 1.001
    assert np.abs(np.diff(distance, axis=1)).max() < 0.01 * 1.001
    assert distance.min() < 0 < distance.max()
    assert (distance[np.hypot(x, y) > 1.01] > 0).all()


def test_square_distance_at_known_points() -> None:
    side = math.sqrt(0.5)  # Half the side; the corners lie on the axes.
    x = np.array([0, 2, side, 0.5, 0], np.float32)
    y = np.array([0, 0, side, 0.5, -1], np.float32)
    expected = [-side, 1.0, 1 - side, 0.0, 0.0]
    np.testing.assert_allclose(shapes.signed_distance("square", x, y), expected, atol=1e-6)


@pytest.mark.parametrize("name", shapes.LABELS)
def test_a_quarter_turn_turns_the_mask(name: str) -> None:
    # Rows point down, so a positive angle turns clockwise: rot90 with k = -1.
    turned = np.rot90(_centred(name, 0.3), k=-1)
    np.testing.assert_allclose(_centred(name, 0.3 + math.pi / 2), turned, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "order"),
    [("cross", 4), ("hourglass", 2), ("ring", 7), ("square", 4), ("star", 5), ("triangle", 3)],
)
def test_rotational_symmetry(name: str, order: int) -> None:
    mask = _centred(name, 0.2)
    np.testing.assert_allclose(_centred(name, 0.2 + 2 * math.pi / order), mask, atol=1e-3)


def test_classes_stay_apart_under_rotation() -> None:
    angles = np.arange(0, 2 * math.pi, math.pi / 18)
    masks = {name: np.stack([_centred(name, a, 32) for a in angles]) for name in shapes.LABELS}
    for first, second in itertools.combinations(shapes.LABELS, 2):
        shared = np.minimum(masks[first][0], masks[second]).sum(axis=(1, 2))
        union = np.maximum(masks[first][0], masks[second]).sum(axis=(1, 2))
        assert (shared / union).max() < 0.8, (first, second)


def test_render_is_typed_and_deterministic() -> None:
    for split, size in shapes.SPLIT_SIZES:
        for index in (0, 7, size - 1):
            image, label = shapes.render(split, index)
            again, _ = shapes.render(split, index)
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8
            assert 0 <= label < 10
            np.testing.assert_array_equal(image, again)


def test_images_all_differ() -> None:
    images = {shapes.render(s, i)[0].tobytes() for s in ("train", "test") for i in range(100)}
    assert len(images) == 200


def test_classes_are_balanced() -> None:
    assert len(set(shapes.LABELS)) == 10
    assert dict(shapes.SPLIT_SIZES) == {"train": 4000, "test": 1000}
    for split, size in shapes.SPLIT_SIZES:
        for start in (0, size // 2, size - 10):
            labels = [shapes.render(split, start + i)[1] for i in range(10)]
            assert sorted(labels) == list(range(10))


def test_shapes_are_whole_and_stand_out(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    true_mask = shapes.shape_mask

    def spy(
        name: str, size: int, center: tuple[float, float], radius: float, angle: float
    ) -> np.ndarray:
        mask = true_mask(name, size, center, radius, angle)
        calls.append((center, radius, angle, mask))
        return mask

    monkeypatch.setattr(shapes, "shape_mask", spy)
    images = [shapes.render("train", index)[0] / 255 for index in range(300)]
    for image, (center, radius, _, mask) in zip(images, calls, strict=True):
        assert 0.5 * 64 <= 2 * radius <= 0.9 * 64
        assert all(radius <= c <= 64 - radius for c in center)
        # Base colours 0.9 apart, less what two textures may stray, and noise.
        contrast = image[mask > 0.99].mean(axis=0) - image[mask < 0.01].mean(axis=0)
        assert np.linalg.norm(contrast) > 0.7
    # Every eighth of the circle is used.
    assert {int(angle / (math.pi / 4)) for _, _, angle, _ in calls} == set(range(8))


def test_colors_keep_their_distance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        first, second = shapes.pick_colors(rng)
        assert np.linalg.norm(first - second) >= 0.9
        assert min(first.min(), second.min()) >= 0.08 and max(first.max(), second.max()) <= 0.92


@pytest.mark.parametrize(("split", "index"), [("validation", 0), ("train", -1), ("test", 1000)])
def test_unknown_examples_are_refused(split: str, index: int) -> None:
    with pytest.raises(ValueError):
        shapes.render(split, index)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="pentagon"):
        shapes.shape_mask("pentagon", 8, (4.0, 4.0), 3.0, 0.0)
    with pytest.raises(ValueError, match="radius"):
        shapes.shape_mask("circle", 8, (4.0, 4.0), 0.0, 0.0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("tfds")
    config = tfds.download.DownloadConfig(max_examples_per_split=EXAMPLES)
    tfds.builder("shapes", data_dir=path).download_and_prepare(download_config=config)
    yield path


def test_info(data_dir: Path) -> None:
    info = tfds.builder("shapes", data_dir=data_dir).info
    assert info.full_name == "shapes/1.0.0"
    assert info.supervised_keys == ("image", "label")
    assert info.features["label"].names == list(shapes.LABELS)
    assert info.description and info.citation
    found = datasets.open_source(datasets.DataConfig("shapes", data_dir=str(data_dir))).provenance
    assert found.source == "shapes/1.0.0, drawn by mobilenet_tf"
    assert (found.license, found.citation) == ("Apache-2.0", info.citation.strip())


@pytest.mark.parametrize("split", ["train", "test"])
def test_load_gives_back_what_was_rendered(data_dir: Path, split: str) -> None:
    dataset = tfds.load("shapes", split=split, data_dir=data_dir, as_supervised=True)
    image_spec, label_spec = dataset.element_spec
    assert image_spec.shape == (64, 64, 3) and image_spec.dtype == "uint8"
    assert label_spec.shape == () and label_spec.dtype == "int64"
    loaded = [(image.tobytes(), int(label)) for image, label in dataset.as_numpy_iterator()]
    rendered = [shapes.render(split, index) for index in range(EXAMPLES)]
    assert Counter(loaded) == Counter((image.tobytes(), label) for image, label in rendered)
    assert Counter(label for _, label in loaded) == dict.fromkeys(range(10), EXAMPLES // 10)


@pytest.mark.parametrize("split", ["train[:0%]", "trian", "train["])
def test_a_split_has_images(split):
    train = types.SimpleNamespace(num_examples=5)

    class Splits(dict):
        def __missing__(self, key):
            if key == "train[:0%]":
                return types.SimpleNamespace(num_examples=0)
            raise ValueError("TFDS's own words")

    info = types.SimpleNamespace(
        supervised_keys=("image", "label"),
        features={"label": types.SimpleNamespace(names=["a", "b"])},
        splits=Splits(train=train, test=train),
    )
    with pytest.raises(ValueError, match="one of train, test, or a part such as .* images in it"):
        tfds_source.TFDSSource(types.SimpleNamespace(info=info), train_split=split)
