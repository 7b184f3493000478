"""Batches: the same for the same seed, able to start anywhere, nothing lost."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mobilenet_tf.data.augmentation import make_augment
from mobilenet_tf.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from mobilenet_tf.data.store import ArrayImages, FileImages, Split, balanced_indices

CLASSES, COUNT, BATCH, SIDE = 3, 20, 6, 16
STEPS = 3  # Whole batches of 6 in 20 images.


@pytest.fixture(scope="module")
def numbered() -> Split:
    """Images that carry their number in every pixel; labels are number modulo 3."""
    numbers = np.arange(COUNT)
    pixels = np.broadcast_to(numbers[:, None, None, None], (COUNT, SIDE, SIDE, 3))
    return Split(ArrayImages(pixels.astype(np.uint8)), numbers % CLASSES, [str(i) for i in numbers])


@pytest.fixture(scope="module")
def noisy() -> Split:
    """Images of noise, whose every change shows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    return Split(ArrayImages(pixels), np.arange(COUNT) % CLASSES, [""] * COUNT)


def _batches(split, count, policy="none", seed=0, first_step=0, batch_size=BATCH):
    dataset = training_batches(split, CLASSES, batch_size, policy, seed, first_step)
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def _numbers(batches) -> list[int]:
    return [int(n) for images, _ in batches for n in images[:, 0, 0, 0]]


def _assert_same(first, second) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.fixture(scope="module", params=["none", "light", "strong"])
def run(request, noisy):
    """A policy and three epochs of an uninterrupted run with it."""
    return request.param, _batches(noisy, 3 * STEPS, request.param, seed=7)


def test_a_start_at_an_epoch_skips_the_epochs_before(run, noisy):
    # Also proves that the same seed gives the same batches: another pipeline made them.
    policy, batches = run
    _assert_same(_batches(noisy, 2 * STEPS, policy, seed=7, first_step=STEPS), batches[STEPS:])
    _assert_same(
        _batches(noisy, STEPS + 1, policy, seed=7, first_step=STEPS - 1),
        batches[STEPS - 1 : 2 * STEPS],
    )


@pytest.mark.parametrize("policy", ["none", "light"])
def test_same_seed_same_batches_another_seed_others(noisy, policy):
    first, again, other = (_batches(noisy, STEPS, policy, seed) for seed in (7, 7, 8))
    _assert_same(first, again)
    assert not np.array_equal(first[0][0], other[0][0])


def test_light_augmentation_differs_from_step_to_step(numbered):
    constant = Split(
        ArrayImages(np.repeat(_ramp(), COUNT, axis=0)), numbered.labels, numbered.names
    )
    images = np.concatenate([images for images, _ in _batches(constant, STEPS, "light")])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > len(images) // 2


def _ramp() -> np.ndarray:
    """One image in which every pixel differs from every other."""
    return np.arange(SIDE * SIDE * 3).reshape(1, SIDE, SIDE, 3).astype(np.uint8)


def test_values_and_labels_stay_in_range(run):
    for images, labels in run[1]:
        assert images.dtype == labels.dtype == np.float32
        assert images.shape == (BATCH, SIDE, SIDE, 3) and labels.shape == (BATCH, CLASSES)
        assert 0 <= images.min() and images.max() <= 255 and images.std() > 10
        assert labels.min() >= 0
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


def test_only_strong_mixes_labels(run):
    policy, batches = run
    mixed = any(((labels > 0.001) & (labels < 0.999)).any() for _, labels in batches)
    assert mixed == (policy == "strong")


def test_light_augmentation_moves_pixels_but_makes_none(noisy):
    known = {tuple(pixel) for pixel in noisy.images.pixels.reshape(-1, 3)}
    images = _batches(noisy, 1, "light")[0][0]
    assert {tuple(pixel) for pixel in images.astype(np.uint8).reshape(-1, 3)} <= known
    assert not any((image == images[0]).all() for image in noisy.images.pixels)


def test_shapes_are_static(noisy):
    images, labels = training_batches(noisy, CLASSES, BATCH, "light", 0).element_spec
    assert images.shape == (BATCH, SIDE, SIDE, 3) and labels.shape == (BATCH, CLASSES)
    assert images.dtype == labels.dtype == tf.float32


def test_none_leaves_pixels_alone(numbered):
    assert make_augment("none", 0) is None
    for images, labels in _batches(numbered, STEPS):
        numbers = images[:, 0, 0, 0].astype(int)
        assert (images == numbers[:, None, None, None]).all()
        np.testing.assert_array_equal(labels, np.eye(CLASSES)[numbers % CLASSES])


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="none, light, strong.*Received: wild"):
        make_augment("wild", 0)


def test_epochs_are_permutations(numbered):
    epochs = [_numbers(_batches(numbered, STEPS, first_step=k * STEPS)) for k in range(4)]
    for numbers in epochs:
        assert len(set(numbers)) == STEPS * BATCH and set(numbers) <= set(range(COUNT))
    assert all(one != other for one, other in itertools.combinations(epochs, 2))
    assert set().union(*epochs) == set(range(COUNT))  # Leftovers differ between epochs.


def test_whole_epoch_where_batches_divide_it(numbered):
    numbers = _numbers(_batches(numbered, 4, batch_size=5))
    assert sorted(numbers) == list(range(COUNT)) != numbers


def test_a_batch_is_never_larger_than_the_data(numbered):
    assert steps_per_epoch(numbered, 64) == 1 and steps_per_epoch(numbered, BATCH) == STEPS
    batches = _batches(numbered, 2, batch_size=64)
    assert [sorted(_numbers([batch])) for batch in batches] == [list(range(COUNT))] * 2


def test_evaluation_covers_all_in_order(numbered):
    batches = [(x.numpy(), y.numpy()) for x, y in evaluation_batches(numbered, CLASSES, BATCH)]
    assert [len(images) for images, _ in batches] == [6, 6, 6, 2]
    assert _numbers(batches) == list(range(COUNT))
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, np.eye(CLASSES)[np.arange(COUNT) % CLASSES])


def test_nothing_is_left_to_the_tuner_whose_thread_outlives_an_epoch(numbered):
    """Where it runs, giving up an iterator can take as long as it sleeps: see `_ahead`."""
    training = training_batches(numbered, CLASSES, BATCH, "light", 0)
    for batches in (training, evaluation_batches(numbered, CLASSES, BATCH)):
        assert batches.options().autotune.enabled is False


def test_images_read_from_files_make_the_same_batches(noisy, tmp_path):
    from image_files import save

    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(noisy.images.pixels)]
    from_files = Split(FileImages(paths, SIDE), noisy.labels, paths)
    assert len(from_files.images) == COUNT
    _assert_same(_batches(from_files, STEPS), _batches(noisy, STEPS))


LABELS = np.repeat([0, 1, 2], [50, 10, 3])


@pytest.mark.parametrize(
    "count, expected", [(3, [1, 1, 1]), (9, [3, 3, 3]), (23, [10, 10, 3]), (30, [17, 10, 3])]
)
def test_balanced_indices_share_evenly(count, expected):
    indices = balanced_indices(LABELS, count, seed=0)
    assert np.bincount(LABELS[indices]).tolist() == expected
    assert sorted(set(indices.tolist())) == indices.tolist()


def test_balanced_indices_are_drawn_by_seed():
    drawn = [balanced_indices(LABELS, 12, seed).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_balanced_indices_at_the_limits():
    assert balanced_indices(LABELS, 1000, 0).tolist() == list(range(63))
    assert len(balanced_indices(np.array([], np.int64), 5, 0)) == 0
    assert len(balanced_indices(LABELS, 2, 0)) == 2
