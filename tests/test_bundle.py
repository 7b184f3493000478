"""Golden bundles: written whole, replayed, and every broken one told in a line."""

import base64
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from image_files import write_bytes
from PIL import Image
from tiny_tflite import SIDE, expected_scores, tiny_model

from export import bundle, check_bundle
from export.metadata import ModelMetadata, add_metadata
from export.model_card import ModelCard

NAMES = ("ant", "bee", "cat")
PIXELS = np.random.default_rng(7).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
SHOWN = np.array([0, 1, 2, 0, 1, 2, 0, 1])
CARD = ModelCard("three animals", "CC-BY-4.0", "photos", {"epochs": 3}, "int8", 900, 0.5, 0.4987)


def _model(tmp_path, dtype: str = "uint8", names=NAMES) -> str:
    content = add_metadata(tiny_model(len(names), dtype), ModelMetadata(names))
    return write_bytes(tmp_path / "m.tflite", content)


@pytest.fixture
def folder(tmp_path):
    """A sound bundle."""
    target = tmp_path / "bundle"
    bundle.write_bundle(str(target), _model(tmp_path), NAMES, PIXELS, SHOWN, CARD)
    return target


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
    assert f"{golden['model_sha256']}  model.tflite" in card
    assert check_bundle.main([str(target)]) == 0


def test_an_existing_folder_is_kept_unless_told(folder, tmp_path):
    model = str(tmp_path / "m.tflite")
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
    with pytest.raises(ValueError, match="parent folder"):
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


def _edit_golden(folder, change) -> None:
    path = folder / "golden.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")
    _rehash(folder)


def _rehash(folder) -> None:
    """Makes the card's hashes right again, so that only the defect itself is left."""
    card = folder / "MODEL_CARD.md"
    lines = []
    for line in card.read_text("utf-8").splitlines():
        name = line[66:]
        if line[64:66] == "  " and (folder / name).is_file():
            line = f"{bundle.sha256(str(folder / name))}  {name}"
        lines.append(line)
    card.write_text("\n".join(lines), "utf-8")


def _flip_byte(path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def _set(key, value):
    return lambda folder: _edit_golden(folder, lambda content: content.update({key: value}))


def _set_image(key, value):
    return lambda folder: _edit_golden(
        folder, lambda content: content["images"][0].update({key: value})
    )


def _other_model(folder) -> None:
    (folder / "model.tflite").write_bytes(tiny_model(3, "float32"))
    _rehash(folder)
    digest = bundle.sha256(str(folder / "model.tflite"))
    _edit_golden(folder, lambda content: content.update(model_sha256=digest))


def _truncate(folder) -> None:
    path = folder / "model.tflite"
    path.write_bytes(path.read_bytes()[:700])


def _other_pixels(folder) -> None:
    Image.fromarray(PIXELS[0] ^ 1).save(folder / "images" / "0.png")
    _rehash(folder)


def _labels(content: bytes):
    def write(folder) -> None:
        (folder / "labels.txt").write_bytes(content)
        _rehash(folder)

    return write


def _write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def _remove(name: str):
    return lambda folder: (folder / name).unlink()


BROKEN = {
    "no folder": (shutil.rmtree, ["must be a folder", "bundle"]),
    "no model": (_remove("model.tflite"), ["whole", "without model.tflite"]),
    "no labels": (_remove("labels.txt"), ["without labels.txt"]),
    "no golden.json": (_remove("golden.json"), ["golden.json", "No such file"]),
    "no card": (_remove("MODEL_CARD.md"), ["without MODEL_CARD.md"]),
    "no image": (_remove("images/3.png"), ["without images/3.png"]),
    "model is a text": (_write("model.tflite", b"no model" * 99), ["intact .tflite"]),
    "truncated model": (_truncate, ["intact .tflite"]),
    "another model": (_other_model, ["input must be", "uint8", "float32"]),
    "changed image": (lambda f: _flip_byte(f / "images" / "0.png", 60), ["hashes", "0.png"]),
    "other pixels": (_other_pixels, ["pixels", "images/0.png"]),
    "image is a text": (_write("images/1.png", b"no image"), ["hashes", "1.png"]),
    "changed label": (_labels(b"ant\nbee\ncow\n"), ["labels inside model.tflite"]),
    "too few labels": (_labels(b"ant\nbee\n"), ["2 labels for 3 outputs"]),
    "blank last label": (_labels(b"ant\nbee\n\n"), ["blank", "label 3"]),
    "card without hashes": (_write("MODEL_CARD.md", b"# card\n"), ["hashes", "model.tflite"]),
    "golden.json is a text": (_write("golden.json", b"{"), ["golden.json", "--bundle"]),
    "golden.json is a list": (_write("golden.json", b"[]"), ["golden.json", "--bundle"]),
    "other format": (_set("format", 2), ["golden.json", "format 2"]),
    "no images": (_set("images", []), ["no images"]),
    "other hash": (_set("model_sha256", "0" * 64), ["hashes", "model.tflite"]),
    "no base64": (_set_image("input_base64", "?"), ["no base64", "images/0.png"]),
    "other input": (_set_image("input_base64", "AAAA"), ["pixels", "images/0.png"]),
    "path outside": (_set_image("file", "../../x.png"), ["outside images/"]),
    "no probabilities": (_set_image("probabilities", []), ["one probability per label", "0 for 3"]),
    "other scores": (_set_image("probabilities", [0, 0, 0]), ["within 0.02", "images/0.png"]),
    "NaN scores": (_set_image("probabilities", [float("nan")] * 3), ["within 0.02"]),
    "other top-1": (_set_image("top1", "dog"), ["most probable class must be dog"]),
    "no top-1": (lambda f: _edit_golden(f, lambda c: c["images"][0].pop("top1")), ["no 'top1'"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_bundles_are_one_line(kind, folder, capfd):
    damage, words = BROKEN[kind]
    damage(folder)
    assert check_bundle.main([str(folder)]) == 1
    out, err = capfd.readouterr()
    problems = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(problems) == 1 and "Traceback" not in err
    assert all(word in problems[0] for word in words), problems[0]


@pytest.mark.parametrize("content", [b"ant\r\nbee\r\ncat\r\n", b"ant\nbee\ncat"])
def test_labels_of_another_editor_are_the_same_labels(content, folder):
    _labels(content)(folder)
    assert check_bundle.main([str(folder)]) == 0
