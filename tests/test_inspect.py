"""What is said about .tflite files of any maker, and that none of them can hurt."""

import json
import os
import struct
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from export import inspect, verifier
from export.flatbuffer import FILE_IDENTIFIER, pack_model, read_model
from export.inspection import facts, partitions
from export.inspection.runtime_versions import minimum_runtime
from mobilenet_tf.runtime import TFLiteModel
from tests import fuzz_inspect
from tests.tiny_models import TinyModel, float_classifier, int8_classifier, metadata

LABELS = ["ant", "bee", "cat", "dog"]


def test_broken_files_give_one_line_and_never_more():
    outcome = fuzz_inspect.run(fuzz_inspect.sound_models(), cases=400, seed=1)
    assert outcome.failures == []
    assert outcome.refused > 100 and outcome.accepted > 20
    assert outcome.slowest_s < fuzz_inspect._HANG_S


def _patched(offset: int, value: int) -> bytes:
    content = bytearray(float_classifier())
    struct.pack_into("<I", content, offset, value)
    return bytes(content)


def _vector_of_subgraphs() -> int:
    """Byte of the length of the vector of subgraphs."""
    content = float_classifier()
    table = verifier.root_table(content)
    return table.follow(table.position(2, 4))


def _shared_subgraphs() -> bytes:
    """One subgraph with 100 tensors, listed 20,000 times: 2 million tensors once unpacked."""
    builder = flatbuffers.Builder()
    graph = schema.SubGraphT(tensors=[schema.TensorT() for _ in range(100)]).Pack(builder)
    schema.ModelStartSubgraphsVector(builder, 20_000)
    for _ in range(20_000):
        builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _with_wrong_index(what: str) -> bytes:
    tiny = TinyModel()
    x = tiny.tensor("x", (1, 4), "float32")
    tiny.op("RELU", [x], [x])
    if what == "tensor":
        tiny.main.operators[0].inputs = [7]
    elif what == "buffer":
        tiny.main.tensors[0].buffer = 9
    elif what == "operation code":
        tiny.main.operators[0].opcodeIndex = 3
    return tiny.pack([x], [x])


HOSTILE = {
    "empty": (b"", "TFL3"),
    "text": (b"version https://git-lfs.github.com/spec/v1", "TFL3"),
    "identifier only": (b"\x08\0\0\0TFL3", "outside the file"),
    "root outside": (_patched(0, 0xFFFFFFF0), "outside the file"),
    "length of 2^31": (_patched(_vector_of_subgraphs(), 2**31), "outside the file"),
    "no subgraph": (_patched(_vector_of_subgraphs(), 0), "no subgraph"),
    "offset to itself": (_patched(_vector_of_subgraphs() + 4, 0), "into itself"),
    "truncated": (float_classifier()[:-100], "outside the file"),
    "shared parts": (_shared_subgraphs(), "more tables than"),
    "tensor": (_with_wrong_index("tensor"), "tensor 7 of 1"),
    "buffer": (_with_wrong_index("buffer"), "buffer 9 of 1"),
    "operation code": (_with_wrong_index("operation code"), "operation code 3 of 1"),
}


@pytest.mark.parametrize("content, reason", HOSTILE.values(), ids=HOSTILE)
def test_hostile_content_is_refused_with_the_reason(content, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_model(content)
    assert "\n" not in str(caught.value)


def test_every_table_of_the_schema_is_understood():
    tables = [v for v in vars(schema).values() if isinstance(v, type) and hasattr(v, "Init")]
    assert len(tables) > 150
    for table in tables:
        slots = [field.slot for field in verifier.fields_of(table)]
        # Ascending, without a gap but for fields that were given up.
        assert slots == sorted(set(slots)) and all(slot >= 0 for slot in slots), table
    # table Buffer { data:[ubyte]; offset:ulong; size:ulong; } in schema.fbs
    found = [(field.kind, field.width) for field in verifier.fields_of(schema.Buffer)]
    assert found == [("scalars", 1), ("scalar", 8), ("scalar", 8)]
    kinds = [field.kind for field in verifier.fields_of(schema.Model)]
    assert kinds[:5] == ["scalar", "tables", "tables", "string", "tables"]


@pytest.mark.parametrize("size, is_inside", [(4, True), (5, False)])
def test_buffers_behind_the_flatbuffer(size, is_inside):
    tiny = TinyModel()
    tiny.tensor("x", (4,), "uint8")
    tiny.main.tensors[0].buffer = 1
    tiny.model.buffers.append(schema.BufferT(offset=1000, size=size))
    builder = flatbuffers.Builder()
    builder.Finish(tiny.model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    content = bytes(builder.Output()).ljust(1000, b"\0") + b"\1\2\3\4"
    if not is_inside:
        with pytest.raises(ValueError, match="ends outside"):
            read_model(content)
        return
    model = read_model(content)
    assert model.buffers[1].data.tolist() == [1, 2, 3, 4]
    assert read_model(pack_model(model)).buffers[1].data.tolist() == [1, 2, 3, 4]


def test_facts_of_an_int8_classifier():
    found = facts.inspect_content(int8_classifier(labels=LABELS))
    assert found.op_census["HARD_SWISH"] == 1 and sum(found.op_census.values()) == 7
    assert found.quantization == "int8 per channel + int8 per tensor"
    assert found.weight_bytes == {"int8": 4 * 3 * 3 * 3 + 4 * 4, "int32": 4 * 4 + 2 * 4}
    assert found.float_leftovers == ()
    assert (found.inputs[0].name, found.inputs[0].shape) == ("image", (1, 8, 8, 3))
    assert (found.inputs[0].scale, found.inputs[0].zero_point) == (1.0, 0)
    assert (found.outputs[0].dtype, found.outputs[0].channels) == ("float32", 0)
    assert found.attachments.labels == 4 and found.attachments.normalizes
    assert found.minimum_runtime.release == "1.15"  # HARD_SWISH came with it.
    assert found.declared_runtime == "1.14.0"


def test_float_between_integer_operations_is_found():
    tiny = TinyModel()
    first, third = (tiny.tensor(n, (1, 4), "int8", (0.5,)) for n in ("first", "third"))
    real, twice = (tiny.tensor(n, (1, 4), "float32") for n in ("real", "twice"))
    last, out = tiny.tensor("last", (1, 4), "int8", (0.5,)), tiny.tensor("out", (1, 4), "float32")
    soft, after = (tiny.tensor(n, (1, 4), "float32") for n in ("soft", "after"))
    tiny.op("RELU", [first], [third])
    tiny.op("DEQUANTIZE", [third], [real])
    tiny.op("MUL", [real, real], [twice])
    tiny.op("QUANTIZE", [twice], [last])
    tiny.op("RELU", [last], [last])
    tiny.op("DEQUANTIZE", [last], [out])
    tiny.op("SOFTMAX", [out], [soft])  # May be float: nothing follows that is not.
    tiny.op("MUL", [soft, soft], [after])
    found = facts.inspect_content(tiny.pack([first], [after])).float_leftovers
    assert [(left.index, left.name, left.tensor) for left in found] == [
        (2, "MUL", "twice"),
        (7, "MUL", "after"),
    ]
    assert [left.place.split()[0] for left in found] == ["between", "after"]


def _lone(name, dtype="float32", shape=(1, 8, 8, 3), version=1, signature=None) -> bytes:
    """One operation on an image, giving one."""
    tiny = TinyModel()
    scale = () if dtype.startswith("float") else (0.5,)
    x, y = (tiny.tensor(n, shape, dtype, scale) for n in ("x", "y"))
    tiny.main.tensors[0].shapeSignature = signature
    tiny.op(name, [x], [y], version=version)
    return tiny.pack([x], [y])


# Each refusal as its client words it, in CLIENTS' own documents or runs.
REFUSED = [
    (_lone("RELU", "int8"), "MediaPipe", "refuses", "int8 input", "uint8/float32"),
    (_lone("RELU", "int8"), "MediaPipe", "refuses", "int8 output", "UINT8 or FLOAT32"),
    (_lone("RELU"), "MediaPipe", "refuses", "float32 input", "NormalizationOptions"),
    (_lone("RELU", shape=(1, 9)), "MediaPipe", "refuses", "[1, 9]", "height, width, 3"),
    (_lone("RELU", "int8"), "LiteRT.js", "refuses", "int8 input", "not supported"),
    (_lone("HARD_SWISH", "int8"), "XNNPACK", "partly", "HARD_SWISH", "splits"),
    (_lone("HARD_SWISH", "int8"), "Edge TPU", "partly", "HARD_SWISH", "CPU"),
    (_lone("RELU"), "Edge TPU", "refuses", "RELU in float", "not quantized"),
    (_lone("RELU", "int16"), "GPU", "refuses", "int16", "dequantization"),
    (_lone("SHAPE"), "GPU", "partly", "SHAPE", "not among"),
    (_lone("SHAPE"), "any", "note", "SHAPE", "dynamic batch"),
    (_lone("RELU", signature=[-1, 8, 8, 3]), "GPU", "refuses", "[-1, 8, 8, 3]", "static"),
    (_lone("RELU", signature=[-1, 8, 8, 3]), "NNAPI", "refuses", "-1", "static"),
    (_lone("CONV_2D", version=6), "NNAPI", "partly", "CONV_2D version 6", "newer"),
    (_lone("edgetpu-custom-op"), "any", "refuses", "edgetpu-custom-op", "kernel"),
    (int8_classifier(labels=LABELS[:3]), "MediaPipe", "refuses", "3 labels for 4", "num_classes"),
    (
        int8_classifier(labels=LABELS, zip_kind=zipfile.ZIP_DEFLATED),
        "MediaPipe",
        "refuses",
        "labels.txt",
        "uncompressed",
    ),
    (int8_classifier(), "MediaPipe", "note", "no labels", "no name"),
]


@pytest.mark.parametrize("content, client, verdict, what, reason", REFUSED)
def test_clients_that_refuse(content, client, verdict, what, reason):
    found = [f for f in facts.inspect_content(content).findings if f.client.startswith(client)]
    assert any(
        f.verdict == verdict and what in f.what and reason in f.reason and f.change and f.source
        for f in found
    ), found


def test_the_contract_of_this_project_is_refused_by_no_phone():
    found = facts.inspect_content(int8_classifier("RELU6", labels=LABELS)).findings
    assert {f.verdict for f in found} == {"note"}


def test_minimum_runtime_by_hand():
    # "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'" before 2.17.
    found = minimum_runtime([("FULLY_CONNECTED", 12), ("CONV_2D", 3), ("HARD_SWISH", 1)])
    assert (found.release, found.decided_by) == ("2.17", ("FULLY_CONNECTED version 12",))
    found = minimum_runtime([("RELU", 1), ("CONV_2D", 99), ("NO_SUCH_OP", 1)])
    assert found.release == "1.5"  # 2.10 is later than 2.9, and 1.10 than 1.9.
    assert found.unknown == ("CONV_2D version 99", "NO_SUCH_OP version 1")
    assert minimum_runtime([("NEG", 1), ("POW", 1)]).release == "1.10"


@pytest.mark.parametrize(
    "name, quantization, release, labels, count",
    [
        ("mobilenet_v2_1.0_224_ptq", "int8 per channel", "1.14", 1001, 68),
        ("mobilenet_v2_1.0_224_qat_uint8", "uint8 per tensor", "1.5", 1001, 66),
        ("mobilenet_v3_small_1.0_224_qat_uint8", "uint8 per tensor", "1.15", None, 119),
    ],
)
def test_files_of_other_makers(shared, name, quantization, release, labels, count):
    content = shared(f"peers/{name}.tflite").read_bytes()
    found = facts.inspect_content(content)
    assert found.quantization == quantization and found.attachments.labels == labels
    assert sum(found.op_census.values()) == count
    # The converter has counted the minimum runtime as well.
    assert found.minimum_runtime.release == release
    assert found.declared_runtime == f"{release}.0"


def test_names_cannot_write_to_the_terminal():
    tiny = TinyModel()
    x = tiny.tensor("\x1b[31m\n" + 5000 * "x", (1, 8, 8, 3), "int8", (1.0,))
    tiny.op("custom\x07", [x], [x])
    tiny.attach("TFLITE_METADATA", metadata(normalizes=False, label_file="\x1b[2J.txt"))
    found = facts.inspect_content(tiny.pack([x], [x]))
    assert found.inputs[0].name.startswith("?[31m?xxx") and len(found.inputs[0].name) < 250
    assert "custom?" in found.op_census and found.attachments.label_file == "?[2J.txt"


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "int8.tflite"
    path.write_bytes(int8_classifier(labels=LABELS))
    return str(path)


def test_partitions_are_the_interpreters(model_path):
    found = partitions.count_partitions(model_path)
    assert found.count == TFLiteModel(model_path).op_counts()["DELEGATE"] == 2
    assert found.outside == {"QUANTIZE": 1, "HARD_SWISH": 1} and found.problem == ""


@pytest.mark.parametrize(
    "script, problem", [("kill -SEGV $$", "crashed"), ("exit 3", "exit code 3"), ("sleep 9", "0.5")]
)
def test_an_interpreter_that_crashes_or_hangs(script, problem, model_path, tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nexec 2>/dev/null\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr("export.inspection.partitions.sys.executable", str(fake))
    found = partitions.count_partitions(model_path, timeout_s=0.5 if "sleep" in script else 60)
    assert found.count is None and problem in found.problem


def _run(arguments, capsys) -> tuple[int, str, list[str]]:
    try:
        code = inspect.main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


def test_command_line(model_path, capsys):
    code, out, err = _run([model_path, model_path], capsys)
    assert (code, err) == (0, [])
    lines = out.splitlines()
    assert lines[0].startswith("file") and "partitions" in lines[0]
    assert lines[1].split()[0] == lines[2].split()[0] == model_path
    assert "input: 'image' uint8 [1, 8, 8, 3], scale 1, zero point 0: 0 to 255" in lines
    code, out, err = _run([model_path, "--json"], capsys)
    (found,) = json.loads(out)
    assert found["file"] == model_path and found["partitions"]["count"] == 2
    assert found["size_bytes"] == os.path.getsize(model_path)


def test_bad_files_are_named_in_one_line_each(model_path, tmp_path, capsys):
    (tmp_path / "cut.tflite").write_bytes(int8_classifier()[:900])
    (tmp_path / "noise.tflite").write_bytes(np.random.default_rng(0).bytes(5000))
    names = ["cut.tflite", "noise.tflite", "missing.tflite", "."]
    paths = [str(tmp_path / name) for name in names]
    code, out, err = _run([*paths, model_path], capsys)
    assert code == 1 and len(err) == 4
    assert all(line.startswith("error: ") and path in line for line, path in zip(err, paths))
    assert model_path in out  # The sound one is reported all the same.


def test_a_model_that_does_not_load_is_reported_and_fails(tmp_path, capsys):
    path = tmp_path / "custom.tflite"
    path.write_bytes(_lone("edgetpu-custom-op"))
    code, out, err = _run([str(path)], capsys)
    assert code == 1 and "edgetpu-custom-op" in out and "not counted" in out
    assert len(err) == 1 and str(path) in err[0]


def test_wrong_usage(capsys):
    code, out, err = _run([], capsys)
    assert (code, out, len(err)) == (2, "", 1) and "FILE.tflite" in err[0]
