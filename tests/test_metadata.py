"""Metadata and labels inside a .tflite, sound and broken."""

import dataclasses
import io
import json
import os
import struct
import tempfile
import zipfile

import numpy as np
import pytest
from image_files import encoded, write_bytes
from tiny_tflite import SIDE, expected_scores, tiny_model

from export import flatbuffer, labels, metadata
from export.metadata import ModelMetadata, add_metadata, read_metadata
from mobilenet_tf import model_labels
from mobilenet_tf.runtime import TFLiteModel

NAMES = ("Gänseblümchen", "日本 桜", "🌷")
FULL = ModelMetadata(
    NAMES, "flowers", "Says which flower.", "1.2", "A. Author", "CC-BY-4.0", (0.0,), (1.0,)
)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_written_is_read_and_the_model_stays_the_same(dtype, tmp_path):
    content = add_metadata(tiny_model(3, dtype), FULL)
    assert read_metadata(content) == FULL
    assert add_metadata(tiny_model(3, dtype), FULL) == content
    path = write_bytes(tmp_path / "m.tflite", content)
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    (scores,) = TFLiteModel(path).predict([pixels])
    np.testing.assert_allclose(scores, expected_scores(pixels, 3), atol=1e-5)
    assert model_labels.of_model(path) == list(NAMES)


def test_labels_lie_in_a_stored_zip_at_the_end_with_a_fixed_date():
    content = add_metadata(tiny_model(), FULL)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (info,) = archive.infolist()
        assert archive.read(info) == "Gänseblümchen\n日本 桜\n🌷\n".encode()
    assert info.filename == "labels.txt" and info.date_time == (1980, 1, 1, 0, 0, 0)
    assert info.compress_type == zipfile.ZIP_STORED
    assert content[info.header_offset :].startswith(b"PK\x03\x04")
    assert b"PK\x03\x04" not in content[: info.header_offset]


def test_buffers_are_aligned_to_16_bytes():
    content = add_metadata(tiny_model(), FULL)
    model = flatbuffer.schema.Model.GetRootAs(content)
    starts = []
    for i in range(model.BuffersLength()):
        data = model.Buffers(i).DataAsNumpy()
        if not isinstance(data, int):
            starts.append(data.__array_interface__["data"][0])
    base = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    assert len(starts) == 3 and {(start - base) % 16 for start in starts} == {0}


def test_fields_lie_in_the_slots_of_the_published_schema():
    """A reader of 10 lines, after metadata_schema.fbs, that shares no code with ours."""
    model = flatbuffer.read_model(add_metadata(tiny_model(), FULL))
    (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    data = bytes(model.buffers[entry.buffer].data)

    def number(form: str, at: int) -> int:
        return struct.unpack_from(form, data, at)[0]

    def field(table: int, slot: int) -> int:
        vtable = table - number("<i", table)
        return table + number("<H", vtable + 4 + 2 * slot)

    def follow(at: int) -> int:
        return at + number("<I", at)

    def text(table: int, slot: int) -> str:
        start = follow(field(table, slot))
        return data[start + 4 : start + 4 + number("<I", start)].decode()

    def first(table: int, slot: int) -> int:
        return follow(follow(field(table, slot)) + 4)

    root = follow(0)
    assert data[4:8] == b"M001"
    written = [text(root, slot) for slot in (0, 1, 2, 4, 5, 7)]
    assert written == [
        "flowers",
        "Says which flower.",
        "1.2",
        "A. Author",
        "CC-BY-4.0",
        "1.0.0",
    ]
    graph = first(root, 3)
    image, scores = first(graph, 2), first(graph, 3)
    content = follow(field(image, 3))
    assert data[field(content, 0)] == 2  # ImageProperties
    assert data[field(follow(field(content, 1)), 0)] == 1  # RGB
    unit = first(image, 4)
    assert data[field(unit, 0)] == 1  # NormalizationOptions
    options = follow(field(unit, 1))
    values = [number("<f", follow(field(options, slot)) + 4) for slot in (0, 1)]
    assert values == [0.0, 1.0]
    stats = follow(field(image, 5))
    assert [number("<f", follow(field(stats, slot)) + 4) for slot in (0, 1)] == [255.0, 0.0]
    assert text(scores, 0) == "probabilities"
    assert data[field(follow(field(scores, 3)), 0)] == 1  # FeatureProperties
    stats = follow(field(scores, 5))
    assert [number("<f", follow(field(stats, slot)) + 4) for slot in (0, 1)] == [1.0, 0.0]
    file = first(scores, 6)
    assert text(file, 0) == "labels.txt" and data[field(file, 2)] == 2  # TENSOR_AXIS_LABELS


def test_adding_twice_replaces():
    once = add_metadata(tiny_model(), FULL)
    other = ModelMetadata(("a", "b", "c"), name="other")
    twice = add_metadata(once, other)
    assert read_metadata(twice) == other
    assert twice == add_metadata(tiny_model(), other)


@pytest.mark.parametrize("classes", [1, 10_000])
def test_from_one_to_ten_thousand_labels(classes):
    names = tuple(f"class ñ{i}" for i in range(classes))
    found = read_metadata(add_metadata(tiny_model(classes), ModelMetadata(names)))
    assert found is not None and found.labels == names


def test_a_model_without_metadata_has_none():
    assert read_metadata(tiny_model()) is None


@pytest.mark.parametrize(
    "content",
    [b"a\nb\nc\n", b"a\nb\nc", b"a\r\nb\r\nc\r\n", b"a\r\nb\r\nc", b"\xef\xbb\xbfa\nb\nc\n"],
    ids=["LF", "no final newline", "CRLF", "CRLF, no final newline", "byte order mark"],
)
def test_labels_files_of_every_editor(content):
    assert labels.parse_labels(content) == ("a", "b", "c")


def test_any_changed_byte_is_read_or_refused():
    rng = np.random.default_rng(0)
    for _ in range(400):
        content = bytearray(SOUND)
        content[rng.integers(len(content))] = rng.integers(256)
        try:
            read_metadata(bytes(content))
        except ValueError:
            pass  # Every other error would be a traceback.


def _names(*names: str) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


BAD_LABELS = {
    "too few": (_names("a", "b"), ["one label per output", "2 for 3 outputs"]),
    "too many": (_names(*"abcd"), ["one label per output", "4 for 3 outputs"]),
    "far too many": (_names(*map(str, range(10_001))), ["1 to 10,000", "Received: 10,001"]),
    "none": (b"", ["write one a line", "no label"]),
    "a blank last one": (b"a\nb\n\n", ["blank", "remove the line", "label 3 of 3"]),
    "a blank one": (b"a\n \nc\n", ["blank", "label 2"]),
    "a line separator": (_names("a", "b\u2028b", "c"), ["line break", "label 2"]),
    "a NUL": (_names("a", "b", "c\0"), ["NUL", "label 3"]),
    "Latin-1": ("Gänse\nb\nc\n".encode("latin-1"), ["UTF-8", "0xe4 at 1"]),
}


def _damaged_metadata(content: bytes) -> bytes:
    """Sets the slots of the metadata's root to 0xff."""
    at = content.index(b"M001") - 4
    return content[: at + 8] + b"\xff" * 40 + content[at + 48 :]


def _with_zip(compression: int, name: str) -> bytes:
    content = add_metadata(tiny_model(), FULL)
    stream = io.BytesIO()
    stream.write(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(name, "a\nb\nc\n")
    return stream.getvalue()


def _random_metadata(content: bytes) -> bytes:
    """Noise in place of the whole metadata, behind the length of the buffer."""
    at = content.index(b"M001") - 4
    (length,) = struct.unpack_from("<I", content, at - 4)
    return content[:at] + np.random.default_rng(0).bytes(length) + content[at + length :]


def _two_outputs() -> bytes:
    model = flatbuffer.read_model(tiny_model())
    model.subgraphs[0].outputs = [5, 6]
    return flatbuffer.pack_model(model)


SOUND = add_metadata(tiny_model(), FULL)
BAD_FILES = {
    "empty": (b"", ["intact .tflite"]),
    "text": (b"hello, this is no model\n" * 20, ["intact .tflite"]),
    "a zip": (b"PK\x03\x04" + bytes(200), ["intact .tflite"]),
    "cut in the model": (SOUND[:900], ["intact .tflite"]),
    "cut in the zip": (SOUND[:-30], ["labels.txt", "intact zip", "add the labels again"]),
    "without zip": (SOUND[: SOUND.index(b"PK\x03\x04")], ["labels.txt", "zip"]),
    "deflated": (_with_zip(zipfile.ZIP_DEFLATED, "labels.txt"), ["stored", "compressed"]),
    "other zip": (_with_zip(zipfile.ZIP_STORED, "readme.txt"), ["labels.txt", "without it"]),
    "damaged metadata": (_damaged_metadata(SOUND), ["metadata", "intact"]),
    "other metadata": (SOUND.replace(b"M001", b"M002"), ["M001", "add it again"]),
    "a PNG": (encoded(), ["intact .tflite", "TFL3"]),
    "a sound zip": (_with_zip(zipfile.ZIP_STORED, "labels.txt")[-200:], ["intact .tflite"]),
    "identifier only": (b"\x08\0\0\0TFL3", ["intact .tflite"]),
    "random bytes": (np.random.default_rng(3).bytes(5000), ["intact .tflite"]),
    "random metadata": (_random_metadata(SOUND), ["metadata must be intact"]),
    "no classifier": (_two_outputs(), ["image classifier", "1 inputs, 2 outputs"]),
}


def _refuse(arguments, words, capfd, code=1) -> None:
    assert metadata.main(arguments) == code
    out, err = capfd.readouterr()
    problems = [line for line in err.splitlines(keepends=True) if line.startswith("error: ")]
    assert out == "" and len(problems) == 1 and "Traceback" not in err
    assert all(word in problems[0] for word in words), problems[0]


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_bad_labels_are_one_line_and_write_nothing(kind, tmp_path, capfd):
    content, words = BAD_LABELS[kind]
    model = write_bytes(tmp_path / "m.tflite", tiny_model())
    names = write_bytes(tmp_path / "names.txt", content)
    output = str(tmp_path / "new.tflite")
    _refuse([model, "--labels", names, "--output", output], [*words, names], capfd)
    assert sorted(os.listdir(tmp_path)) == ["m.tflite", "names.txt"]


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_one_line(kind, tmp_path, capfd):
    content, words = BAD_FILES[kind]
    path = write_bytes(tmp_path / "the 'new' größe.tflite", content)
    _refuse([path], [*words, path], capfd)


def test_an_output_that_is_no_tflite_is_wrong_usage(capfd):
    with pytest.raises(SystemExit) as exit_:
        metadata.main(["m.tflite", "--labels", "names.txt", "--output", "names.txt"])
    assert exit_.value.code == 2
    assert "must end in .tflite. Received: names.txt" in capfd.readouterr().err


def test_no_right_to_read_or_write(tmp_path, capfd, monkeypatch):
    """Root may do everything, so the refusals are made."""
    model = write_bytes(tmp_path / "m.tflite", tiny_model())
    names = write_bytes(tmp_path / "names.txt", b"a\nb\nc\n")

    def deny(**options):
        raise PermissionError(13, "Permission denied", os.path.join(options["dir"], ".new-x"))

    monkeypatch.setattr(tempfile, "mkstemp", deny)
    words = [f"Received: {tmp_path} (Permission denied)\n"]
    _refuse([model, "--labels", names, "--overwrite"], words, capfd)


def test_labels_of_several_classes_are_noted(tmp_path, capfd):
    model = write_bytes(tmp_path / "m.tflite", tiny_model(4))
    names = write_bytes(tmp_path / "names.txt", b"crane\nbee\ncrane\nant\n")
    assert metadata.main([model, "--labels", names, "--overwrite"]) == 0
    (note,) = [line for line in capfd.readouterr().err.splitlines() if "note" in line]
    assert note.endswith("cannot tell them apart: crane")


def test_only_float_inputs_are_normalized():
    assert "uint8 input: the bytes" in metadata.format_metadata(FULL, "uint8")
    assert "float32 input: (pixel - 0) / 1" in metadata.format_metadata(FULL, "float32")
    bare = ModelMetadata(NAMES, mean=(), std=())
    assert "MediaPipe refuses" in metadata.format_metadata(bare, "float32")


def test_missing_files_and_wrong_usage(tmp_path, capfd):
    model = write_bytes(tmp_path / "m.tflite", tiny_model())
    gone = str(tmp_path / "gone.txt")
    _refuse([gone], ["check the path", "gone.txt"], capfd)
    _refuse([model, "--labels", gone, "--overwrite"], ["No such file", "gone.txt"], capfd)
    _refuse([model, "--name", "x", "--overwrite"], ["--labels"], capfd, code=2)
    _refuse([model, "--overwrite"], ["--labels"], capfd, code=2)
    _refuse([model, "--name", "x"], ["--overwrite", "m.tflite"], capfd)
    names = write_bytes(tmp_path / "names.txt", b"a\nb\nc\n")
    adding = [model, "--labels", names, "--output"]
    _refuse([*adding, str(tmp_path / "gone" / "x.tflite")], ["must exist", "gone/x.tflite"], capfd)
    (tmp_path / "folder.tflite").mkdir()
    folder = str(tmp_path / "folder.tflite")
    _refuse([folder], ["must be a .tflite file", folder], capfd)
    _refuse([*adding, folder, "--overwrite"], [f"Received: {folder} (Is a directory)\n"], capfd)
    _refuse(
        [model, "--labels", folder, "--overwrite"],
        [f"Received: {folder} (Is a directory)\n"],
        capfd,
    )
    assert sorted(os.listdir(tmp_path)) == ["folder.tflite", "m.tflite", "names.txt"]
    assert (tmp_path / "m.tflite").read_bytes() == tiny_model()


def test_command_adds_changes_and_shows(tmp_path, capfd):
    model = write_bytes(tmp_path / "m.tflite", tiny_model(3, "float32"))
    names = write_bytes(tmp_path / "names.txt", "ä\r\nb\r\nc".encode())
    output = str(tmp_path / "new.tflite")
    arguments = [model, "--labels", names, "--name", "three", "--output", output]
    assert metadata.main([*arguments, "--mean", "127.5", "--std", "127.5"]) == 0
    assert "--mean" not in capfd.readouterr().err
    assert metadata.main([output, "--license", "MIT", "--overwrite", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["name"], shown["license"], shown["mean"]) == ("three", "MIT", [127.5])
    assert shown["labels"] == ["ä", "b", "c"]
    assert metadata.main([output]) == 0
    out = capfd.readouterr().out
    assert "labels: 3 (ä, b, c)" in out and "(pixel - 127.5) / 127.5" in out
    assert metadata.main([model]) == 0
    assert "--labels" in capfd.readouterr().out
    assert metadata.main(arguments[:-1] + [str(tmp_path / "raw.tflite")]) == 0
    assert "--mean" in capfd.readouterr().err  # What pixels a float model wants is a guess.


def test_metadata_of_another_writer_is_read(shared):
    with open(shared("peers/mobilenet_v1_0.25_224_quant.tflite"), "rb") as file:
        found = read_metadata(file.read())
    assert found is not None and len(found.labels) == 1001
    assert found.labels[:3] == ("background", "tench", "goldfish")
    assert (found.mean, found.std) == ((127.5,), (127.5,))


@pytest.mark.parametrize("damage", ["deflated", "cut in the zip"])
def test_damaged_labels_do_not_cost_the_normalization(tmp_path, capfd, damage):
    path, names, output = tmp_path / "x.tflite", tmp_path / "l.txt", tmp_path / "y.tflite"
    path.write_bytes(BAD_FILES[damage][0])
    names.write_text("a\nb\nc\n")
    assert metadata.main([str(path), "--labels", str(names), "--output", str(output)]) == 0
    assert "labels inside are damaged" in capfd.readouterr().err
    assert read_metadata(output.read_bytes()) == dataclasses.replace(FULL, labels=("a", "b", "c"))


def test_showing_a_file_with_a_wrong_number_of_labels_warns(tmp_path, capfd):
    content = io.BytesIO()
    content.write(SOUND[: SOUND.index(b"PK\x03\x04")])
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("labels.txt", "a\nb\n")
    path = tmp_path / "x.tflite"
    path.write_bytes(content.getvalue())
    assert metadata.main([str(path)]) == 0
    assert "2 labels for 3 outputs" in capfd.readouterr().err
