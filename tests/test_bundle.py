"""Golden bundles: written whole, replayed, and every broken one told in a line."""

import base64
import json
import os
import pathlib

import broken_bundles
import numpy as np
import pytest
from golden_bundle import make_bundle
from image_files import write_bytes
from PIL import Image
from tiny_tflite import SIDE, expected_scores, tiny_model

from export import bundle, check_bundle
from export.metadata import ModelMetadata, add_metadata
from export.model_card import ModelCard
from mobilenet_tf.data.provenance import Provenance

NAMES = ("ant", "bee", "cat")
PIXELS = np.random.default_rng(7).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
SHOWN = np.array([0, 1, 2, 0, 1, 2, 0, 1])
DATA = Provenance("photos, https://photos.example", "CC0-1.0", "@misc{photos}")
CARD = ModelCard("three animals", "CC-BY-4.0", DATA, {"epochs": 3}, "int8", 900, 0.5, 0.4987)


def _model(tmp_path, dtype: str = "uint8", names=NAMES) -> str:
    content = add_metadata(tiny_model(len(names), dtype), ModelMetadata(names))
    return write_bytes(tmp_path / "m.tflite", content)


@pytest.fixture
def folder(tmp_path):
    """A sound bundle."""
    return make_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_bundle_holds_what_the_contract_says(dtype, tmp_path):
    target = tmp_path / "bundle"
    model = _model(tmp_path, dtype)
    bundle.write_bundle(str(target), model, NAMES, PIXELS, SHOWN, CARD)
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert names == {
        *("model.tflite", "labels.txt", "golden.json", "MODEL_CARD.md"),
        *(f"images/{i}.png" for i in range(8)),
    }
    assert (target / "model.tflite").read_bytes() == pathlib.Path(model).read_bytes()
    assert (target / "labels.txt").read_bytes() == b"ant\nbee\ncat\n"
    golden = json.loads((target / "golden.json").read_text("utf-8"))
    assert set(golden) == {
        *("format", "model", "model_sha256", "labels", "input", "tolerance", "images")
    }
    assert (golden["format"], golden["model"], golden["labels"]) == (
        *(1, "model.tflite", "labels.txt"),
    )
    assert golden["input"] == {"width": SIDE, "height": SIDE, "dtype": dtype}
    for i, image in enumerate(golden["images"]):
        assert image["file"] == f"images/{i}.png" and image["label"] == NAMES[SHOWN[i]]
        assert base64.b64decode(image["input_base64"]) == PIXELS[i].tobytes()
        assert np.array_equal(np.asarray(Image.open(target / image["file"])), PIXELS[i])
        scores = expected_scores(PIXELS[i], 3)
        np.testing.assert_allclose(image["probabilities"], scores, atol=1e-5)
        assert image["top1"] == NAMES[scores.argmax()]
    card = (target / "MODEL_CARD.md").read_text("utf-8")
    for words in ("CC-BY-4.0", "49.87 %", "50.00 %", "900 images", "epochs 3", "Limits"):
        assert words in card
    assert "| data | photos, https://photos.example |" in card and "@misc{photos}" in card
    assert "| licence of the data | CC0-1.0 |" in card and "| latency | not measured: run" in card
    assert f"{golden['model_sha256']}  model.tflite" in card
    assert check_bundle.main([str(target)]) == 0


def test_an_existing_folder_is_kept_unless_told(folder, tmp_path):
    model = _model(tmp_path)
    bundle.write_bundle(str(folder), model, NAMES, PIXELS, SHOWN, CARD, overwrite=True)
    before = (folder / "golden.json").read_bytes()
    arguments = (model, NAMES, PIXELS[:2], SHOWN[:2], CARD)
    with pytest.raises(ValueError, match="--overwrite"):
        bundle.write_bundle(str(folder), *arguments)
    assert (folder / "golden.json").read_bytes() == before
    bundle.write_bundle(str(folder), *arguments, overwrite=True)
    assert len(os.listdir(folder / "images")) == 2
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="mine.txt"):
        bundle.write_bundle(str(folder), *arguments, overwrite=True)
    assert (folder / "mine.txt").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["bundle", "m.tflite"]


def test_a_failed_bundle_leaves_nothing(tmp_path):
    model = _model(tmp_path)
    with pytest.raises(ValueError, match="input size"):
        bundle.write_bundle(str(tmp_path / "b"), model, NAMES, PIXELS[:, :2], SHOWN, CARD)
    with pytest.raises(ValueError, match="one label per output"):
        bundle.write_bundle(str(tmp_path / "b"), model, NAMES[:2], PIXELS, SHOWN, CARD)
    with pytest.raises(FileNotFoundError, match="folder to write to must exist"):
        bundle.write_bundle(str(tmp_path / "a" / "b"), model, NAMES, PIXELS, SHOWN, CARD)
    assert os.listdir(tmp_path) == ["m.tflite"]


def test_chosen_images_are_clear_and_of_all_classes():
    true_labels = np.arange(40) % 4
    scores = np.full((40, 4), 0.2)
    scores[:, 0] = 0.4
    scores[:20, 1] = 0.39  # A tie within the tolerance.
    chosen = bundle.choose_images(scores, true_labels, seed=0)
    assert len(chosen) == 8 and chosen.min() >= 20
    assert sorted(true_labels[chosen]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert np.array_equal(chosen, bundle.choose_images(scores, true_labels, seed=0))
    few = bundle.choose_images(scores[:23], true_labels[:23], seed=0)
    assert len(few) == 8 and {20, 21, 22} <= set(few)
    assert len(bundle.choose_images(scores[:3], true_labels[:3], seed=0)) == 3


def _scale_scores(folder) -> None:
    """Lowers the best score by more than the tolerance: top1 stays the same."""

    def change(content) -> None:
        scores = content["images"][0]["probabilities"]
        scores[scores.index(max(scores))] -= 0.03

    broken_bundles.edit_golden(folder, change)


def test_scores_must_be_within_the_tolerance(folder, capfd):
    _scale_scores(folder)
    assert check_bundle.main([str(folder)]) == 1
    err = capfd.readouterr().err
    assert "within 0.02" in err and "0.0300 for" in err and "images/0.png" in err


def test_where_two_scores_are_close_either_may_win(tmp_path):
    """8 bits of another processor may turn a tie; the bundle must not fail for it."""
    target = tmp_path / "bundle"
    dark = PIXELS[:1] // 8  # Hence scores that are near to each other.
    bundle.write_bundle(str(target), _model(tmp_path), NAMES, dark, SHOWN[:1], CARD)
    (image,) = json.loads((target / "golden.json").read_text("utf-8"))["images"]
    scores = expected_scores(dark[0], 3)
    first, second = np.argsort(-scores)[:2]

    def nearly_equal(content) -> None:
        wanted = [float(score) for score in scores]
        wanted[second] = wanted[first] + 1e-4
        content["images"][0].update(probabilities=wanted, top1=NAMES[second])
        content["tolerance"] = float(scores[first] - scores[second]) + 0.01

    broken_bundles.edit_golden(target, nearly_equal)
    assert image["top1"] == NAMES[first]
    assert check_bundle.main([str(target)]) == 0


@pytest.mark.parametrize("kind", broken_bundles.BROKEN)
def test_broken_bundles_are_one_line(kind, folder, capfd):
    damage, words = broken_bundles.BROKEN[kind]
    damage(folder)
    assert check_bundle.main([str(folder)]) == 1
    out, err = capfd.readouterr()
    problems = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(problems) == 1 and "Traceback" not in err
    assert all(word in problems[0] for word in words), problems[0]


@pytest.mark.parametrize("content", [b"daisy\r\nrose\r\ntulip\r\n", b"daisy\nrose\ntulip"])
def test_labels_of_another_editor_are_the_same_labels(content, folder):
    (folder / "labels.txt").write_bytes(content)
    broken_bundles.rehash(folder)
    assert check_bundle.main([str(folder)]) == 0
