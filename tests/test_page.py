"""The conversion report's figures by hand, and its page as HTML."""

import base64
import html.parser
import io
import json
import os
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from export import layer_plot, page_classes, report
from export.acceptance import accept
from export.page import format_page
from export.quantization.layer_costs import LayerCost
from export.recipes import RECIPES
from export.settings import Budget, Settings
from mobilenet_tf.cli import WorkError
from mobilenet_tf.data.store import ArrayImages, Split

NAMES = ["ant", "<b>&bee", "猫", "no image"]
VOID = {"meta", "br", "img", "wbr"}
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


def _scores(keras: list[list[float]], tflite: list[list[float]]) -> report.Scores:
    labels = np.array([0, 0, 1, 1, 1, 2])
    names = [f"folder/{i}.png" for i in range(6)]
    return report.Scores(labels, np.array(keras), np.array(tflite), names, "model.keras")


KERAS = [
    [0.9, 0.1, 0.0, 0.0],  # ant: right
    [0.8, 0.1, 0.1, 0.0],  # ant: right
    [0.1, 0.7, 0.2, 0.0],  # bee: right
    [0.3, 0.6, 0.1, 0.0],  # bee: right
    [0.7, 0.3, 0.0, 0.0],  # bee: wrong
    [0.5, 0.0, 0.4, 0.1],  # cat: wrong
]
TFLITE = [
    [0.9, 0.1, 0.0, 0.0],  # right
    [0.2, 0.7, 0.1, 0.0],  # lost, 0.8 -> 0.2
    [0.5, 0.3, 0.2, 0.0],  # lost, 0.7 -> 0.3
    [0.9, 0.1, 0.0, 0.0],  # lost, 0.6 -> 0.1
    [0.7, 0.3, 0.0, 0.0],  # wrong as before
    [0.2, 0.1, 0.6, 0.1],  # gained
]


def test_figures_of_each_class_by_hand():
    assert report.per_class(_scores(KERAS, TFLITE), NAMES) == [
        {"class": "ant", "images": 2, "keras": 1.0, "tflite": 0.5},
        {"class": "<b>&bee", "images": 3, "keras": 2 / 3, "tflite": 0.0},
        {"class": "猫", "images": 1, "keras": 0.0, "tflite": 1.0},
        {"class": "no image", "images": 0, "keras": None, "tflite": None},
    ]


def test_worst_are_lost_images_whose_label_lost_most():
    found = report.worst_images(_scores(KERAS, TFLITE), NAMES)
    assert (found["lost"], found["gained"]) == (3, 1)
    assert [image["index"] for image in found["worst_images"]] == [1, 3, 2]
    assert found["worst_images"][1] == {
        "index": 3,
        "name": "folder/3.png",
        "label": "<b>&bee",
        "keras": "<b>&bee",
        "keras_probability": 0.6,
        "tflite": "ant",
        "tflite_probability": 0.9,
    }


def test_worst_without_lost_images_are_those_that_changed():
    changed = [list(row) for row in KERAS]
    changed[2] = [0.1, 0.6995, 0.2005, 0.0]  # By 0.0005: not worth a picture.
    changed[4] = [0.68, 0.32, 0.0, 0.0]  # By 0.02.
    changed[5] = [0.0, 0.0, 0.9, 0.1]  # By 0.5, and right at last.
    found = report.worst_images(_scores(KERAS, changed), NAMES)
    assert (found["lost"], found["gained"]) == (0, 1)
    assert [image["index"] for image in found["worst_images"]] == [5, 4]
    assert report.worst_images(_scores(KERAS, KERAS), NAMES)["worst_images"] == []


def test_at_most_twelve_images():
    labels, keras, tflite = np.zeros(20, int), np.eye(2)[[0] * 20], np.eye(2)[[1] * 20]
    found = report.worst_images(
        report.Scores(labels, keras, tflite, range(20), "x.keras"), ["a", "b"]
    )
    assert found["lost"] == 20
    assert [image["index"] for image in found["worst_images"]] == list(range(12))


@pytest.mark.parametrize("classes, shown", [(40, 40), (41, 20)])
def test_classes_are_sorted_by_loss_and_cut_beyond_40(classes, shown):
    rows = [
        {"class": str(i), "images": 5, "keras": 0.9, "tflite": 0.9 - 0.01 * i}
        for i in range(classes)
    ]
    rows.append({"class": "none", "images": 0, "keras": None, "tflite": None})
    chosen = [entry["class"] for entry in page_classes.choose_classes(rows)]
    assert chosen == [str(i) for i in reversed(range(classes))][:shown]
    text = page_classes.section(rows)
    assert (f"{shown} classes of {classes}" in text) == (shown < classes)
    assert "Without evaluation images: 1 classes" in text


def test_names_keep_their_distance_and_stay_inside():
    assert layer_plot.spread([1, 2, 10], gap=3, last=20) == [1, 4, 10]
    assert layer_plot.spread([8, 9, 10], gap=2, last=10) == [6, 8, 10]
    assert layer_plot.spread([], gap=2, last=10) == []


def test_picture_of_layers_is_svg_with_every_script_and_png(tmp_path):
    costs = [LayerCost("卷积<1>", "conv", 1e-3, 1e-4, 1.0), LayerCost("add", "add", 0.0, 0.0, 1.0)]
    assert layer_plot.in_order(costs, ["add", "卷积<1>"]) == costs[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = layer_plot.costs_svg(costs)
    assert "卷积&lt;1&gt;" in svg and svg.startswith("<svg") and svg.endswith("</svg>")
    assert "currentColor" in svg and "#000000" not in svg
    layer_plot.save_costs(costs[1:], "title", str(tmp_path / "x.png"))
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 1000


def _content(path: str = "folder/<i>.tflite") -> dict:
    tensor = {"dtype": "uint8", "shape": [1, 8, 8, 3]}
    scores = _scores(KERAS, TFLITE)
    cost = {"kernel_divergence_nats": 0.0, "agreement": 1.0}
    names = {"per_class": report.per_class(scores, NAMES)}
    return {
        "file": path,
        "sha256": "ab" * 32,
        "model": "/home/me/run/model.keras",
        "reference": "/home/me/run/model.keras",
        "quantize": "int8",
        "hard_swish": "split",
        "date": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "peak_memory_bytes": 2_000_000,
        "versions": {"keras": "3.15"},
        "machine": {
            "cpu": "Some CPU",
            "architecture": "x86_64",
            "cores": 2,
            "os": "Linux 6",
            "python": "3.11.1",
            "versions": {"ai-edge-litert": "2.3"},
        },
        "facts": {
            "size_bytes": 1234,
            "quantization": "int8 per channel",
            "inputs": [tensor],
            "outputs": [{"dtype": "float32", "shape": [1, 4]}],
            "op_census": {"CONV_2D": 3},
            "partitions": {"count": 1, "outside": {"QUANTIZE": 1}},
            "minimum_runtime": {"release": "1.15", "decided_by": ["QUANTIZE version 2"]}
            | {"unknown": []},
        },
        "arm_instructions": {"cortex-a53": 4_937_267},
        "calibration": None,
        "data": {"dataset": "/home/me/photos/"},
        "evaluation": report.evaluate(scores) | names | report.worst_images(scores, NAMES),
        "layers": {
            "images": 8,
            "costs": [
                {"name": "conv", "op": "conv", "divergence_nats": 1e-4} | cost,
                {"name": "add", "op": "add", "divergence_nats": 1e-3} | cost,
            ],
        },
        "budget": {"max_drop": 0.5, "min_agreement": 0.98, "complaint": None},
    }


class _Reader(html.parser.HTMLParser):
    """Fails on tags that do not nest; gathers text, tags and what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1] if tag not in VOID else self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_page_is_whole_well_formed_and_escaped():
    text = format_page(_content(), PIXELS[[1, 3, 2]])
    reader = _read(text)
    assert "b" in reader.tags and "i" not in reader.tags and "script" not in reader.tags
    assert text.count("<b>") == 3  # One label for each image, and none from the class's name.
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in reader.loaded)
    assert not re.search(r"url\((?!#)|@import", text)
    everything = " ".join(reader.texts)
    for part in ("<i>.tflite", "<b>&bee", "猫", "ab" * 32, "TensorFlow Lite 1.15", "Some CPU"):
        assert part in everything
    assert "/home/me" not in text and "photos" in everything and "run/model.keras" in everything
    assert everything.count("66.67 %") == 1 and "+33.33 " in everything  # Keras: 4 of 6 right.
    assert everything.count("33.33 %") == 2  # The file: 2 right; 2 answers the same.
    first = base64.b64decode(next(s for s in reader.loaded if s[0] == "d").partition(",")[2])
    with Image.open(io.BytesIO(first)) as image:
        np.testing.assert_array_equal(np.asarray(image), PIXELS[1])


def test_page_names_what_a_trained_file_is_compared_with():
    content = _content() | {"reference": "/home/me/before/model.keras"}
    text = format_page(content, list(PIXELS))
    assert "Keras float is before/model.keras, which this was trained from." in text
    assert "/home/me" not in text


def test_page_of_a_float_file_that_changed_nothing():
    scores = _scores(KERAS, KERAS)
    evaluation = report.evaluate(scores) | {"per_class": report.per_class(scores, NAMES)}
    evaluation |= report.worst_images(scores, NAMES)
    content = _content() | {"evaluation": evaluation, "layers": None, "budget": None}
    text = format_page(content, [])
    assert "img" not in _read(text).tags
    assert "No budget was set" in text and "No probability changed" in text
    assert "What quantizing" not in text


@pytest.mark.parametrize("most, kept", [(50.0, True), (30.0, False)])
def test_reports_go_where_the_file_goes(most, kept, tmp_path, capsys):
    written = tmp_path / "x.tflite.rejected"
    written.write_bytes(b"model")
    split = Split(ArrayImages(PIXELS), np.array([0, 0, 1, 1, 1, 2]), range(6))
    settings = Settings(RECIPES["int8"], str(tmp_path / "x.tflite"), budget=Budget(most))
    if kept:
        (tmp_path / "x.rejected.json").write_text("of the file that was rejected before")
        accept(_content(str(written)), settings, str(written), split)
        expected, verdict = ["x.html", "x.json", "x.tflite"], "Accepted: it keeps the budget"
    else:
        with pytest.raises(WorkError, match="33.33 points"):
            accept(_content(str(written)), settings, str(written), split)
        expected = ["x.rejected.html", "x.rejected.json", "x.tflite.rejected"]
        verdict = "Rejected: a drop of 33.33 points, more than --max-drop 30"
    assert sorted(os.listdir(tmp_path)) == expected
    assert verdict in (tmp_path / expected[0]).read_text(encoding="utf-8")
    with open(tmp_path / expected[1], encoding="utf-8") as file:
        stored = json.load(file)
    assert stored["file"] == str(tmp_path / expected[2])
    assert (stored["budget"]["complaint"] is None) == kept


def test_a_rejection_names_the_file_that_stays(tmp_path, capsys):
    earlier, written = tmp_path / "x.tflite", tmp_path / "x.tflite.rejected"
    for path in (earlier, written):
        path.write_bytes(b"model")
    split = Split(ArrayImages(PIXELS), np.array([0, 0, 1, 1, 1, 2]), range(6))
    settings = Settings(RECIPES["int8"], str(earlier), overwrite=True, budget=Budget(30.0))
    with pytest.raises(WorkError, match=f"{earlier} is of an earlier conversion"):
        accept(_content(str(written)), settings, str(written), split)
    assert earlier.exists()


def test_without_evaluation_no_page_of_an_earlier_file_stays(tmp_path):
    settings = Settings(RECIPES["none"], str(tmp_path / "x.tflite"), overwrite=True)
    (tmp_path / "x.html").write_text("of an earlier file", encoding="utf-8")
    content = _content(settings.output) | {"evaluation": None, "layers": None}
    accept(content, settings, settings.output, None)
    assert os.listdir(tmp_path) == ["x.json"]
