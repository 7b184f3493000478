"""Static costs: MACs and bytes by hand, the planner's layout, files of other makers."""

import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks import arena, static
from benchmarks.arena import Lifetime
from benchmarks.op_costs import OpCost, costs_by_class, uncounted
from export.inspection.file_graph import read_graph
from mobilenet_tf import specs
from mobilenet_tf.complexity import complexity
from tests.tiny_models import TinyModel, float_classifier, int8_classifier


def _costs(content: bytes) -> dict[str, OpCost]:
    return costs_by_class(read_graph(content))


def test_int8_classifier_by_hand():
    # 8x8x3 image -> 3x3 convolution to 4 channels -> hard-swish -> mean -> dense to 4 -> softmax
    costs = _costs(int8_classifier())
    assert costs["conv"] == OpCost(1, 8 * 8 * 4 * 27, 4 * 27 + 4 * 4, 8 * 8 * 3 + 8 * 8 * 4)
    assert costs["dense"] == OpCost(1, 4 * 4, 16, 4 + 4)
    assert costs["elementwise"] == OpCost(1, 0, 0, 2 * 8 * 8 * 4)
    assert costs["pool"] == OpCost(1, 0, 2 * 4, 8 * 8 * 4 + 4)  # The axes are int32.
    # QUANTIZE bytes to bytes, DEQUANTIZE bytes to floats.
    assert costs["quantize"] == OpCost(2, 0, 0, 2 * 8 * 8 * 3 + 4 + 16)
    assert costs["other"] == OpCost(1, 0, 0, 16 + 16)
    assert costs["depthwise"] == OpCost()
    dense = costs["dense"]
    assert dense.macs_per_byte == 16 / (16 + 8) and OpCost().macs_per_byte == 0


def test_depthwise_grouped_and_transposed_convolutions_by_hand():
    tiny = TinyModel()
    image = tiny.tensor("image", (1, 6, 6, 4), "float32")
    depthwise = tiny.tensor("dw", (1, 3, 3, 8), "float32", data=np.zeros((1, 3, 3, 8)))
    wide = tiny.tensor("wide", (1, 3, 3, 8), "float32")
    tiny.op("DEPTHWISE_CONV_2D", [image, depthwise], [wide])
    grouped = tiny.tensor("grouped", (6, 1, 1, 2), "float32", data=np.zeros((6, 1, 1, 2)))
    narrow = tiny.tensor("narrow", (1, 3, 3, 6), "float32")
    tiny.op("CONV_2D", [wide, grouped], [narrow])
    shape = tiny.tensor("shape", (4,), "int32", data=[1, 6, 6, 5])
    kernel = tiny.tensor("up", (5, 2, 2, 6), "float32", data=np.zeros((5, 2, 2, 6)))
    output = tiny.tensor("output", (1, 6, 6, 5), "float32")
    tiny.op("TRANSPOSE_CONV", [shape, kernel, narrow], [output])
    costs = _costs(tiny.pack([image], [output]))
    assert costs["depthwise"].macs == 3 * 3 * 8 * 9  # A depth multiplier of 2.
    # 4 groups see 2 of the 8 channels; then every input pixel meets every weight.
    assert costs["conv"].macs == 3 * 3 * 6 * 2 + 3 * 3 * 6 * (2 * 2 * 5)


def test_weights_that_are_decoded_count_where_they_are_read():
    tiny = TinyModel()
    image = tiny.tensor("image", (1, 4), "float32")
    half = tiny.tensor("half", (3, 4), "float16", data=np.zeros((3, 4)))
    full, out = tiny.tensor("full", (3, 4), "float32"), tiny.tensor("out", (1, 3), "float32")
    tiny.op("DEQUANTIZE", [half], [full])
    tiny.op("FULLY_CONNECTED", [image, full], [out])
    content = tiny.pack([image], [out])
    costs = _costs(content)
    assert costs["quantize"] == OpCost(ops=1)
    assert costs["dense"] == OpCost(1, 12, 3 * 4 * 2, 4 * 4 + 3 * 4)
    assert arena.plan_arena(read_graph(content)).live_bytes == 16 + 12


def test_what_cannot_be_counted_is_said():
    tiny = TinyModel()
    x = tiny.tensor("x", (1, 4, 4), "float32")
    tiny.main.tensors[0].shapeSignature = [-1, 4, 4]
    y = tiny.tensor("y", (1, 4, 4), "float32")
    tiny.op("BATCH_MATMUL", [x, x], [y])
    tiny.op("my-kernel", [y], [y])
    graph = read_graph(tiny.pack([x], [y]))
    assert uncounted(graph) == {"BATCH_MATMUL": 1, "my-kernel": 1}
    # An open batch counts as one image.
    assert costs_by_class(graph)["other"] == OpCost(2, 0, 0, (3 + 2) * 64)


@pytest.mark.parametrize(
    "spec, alpha, size, peer",
    [
        (specs.V1, 0.25, 224, "mobilenet_v1_0.25_224_float"),
        (specs.V1, 0.25, 224, "mobilenet_v1_0.25_224_quant"),
        (specs.V2, 1.0, 224, "mobilenet_v2_1.0_224_ptq"),
        (specs.V3_SMALL, 1.0, 224, "mobilenet_v3_small_1.0_224_qat_uint8"),
    ],
)
def test_macs_of_files_of_other_makers(spec, alpha, size, peer, shared):
    cost = static.static_cost(str(shared(f"peers/{peer}.tflite")))
    assert cost.total.macs == complexity(spec, alpha, size, classes=1001).macs


# Offsets by hand. Largest first, each in the smallest gap; the model's input comes first.
PLANS = {
    "chain": (
        [Lifetime(64, 0, 3), Lifetime(256, 0, 1), Lifetime(128, 1, 2), Lifetime(64, 2, 3)],
        # Input at 0; 256 behind it; 128 meets 256 at step 1; 64 meets 128 only: in the gap.
        [0, 64, 320, 64],
    ),
    "aligned": ([Lifetime(100, 0, 1), Lifetime(70, 0, 1)], [0, 128]),
    "smallest gap": (
        [
            Lifetime(1000, 0, 0),
            Lifetime(900, 0, 9),  # Its life is the whole run: first of all.
            Lifetime(500, 0, 5),
            Lifetime(60, 1, 1),
        ],
        # 900 at 0, 1000 at 960 (aligned), 500 behind it at 1984, and 60 between 900 and 500.
        [960, 0, 1984, 960],
    ),
}


@pytest.mark.parametrize("tensors, offsets", PLANS.values(), ids=PLANS)
def test_offsets_by_hand(tensors, offsets):
    assert arena.place(tensors) == offsets


def test_no_two_living_tensors_share_memory():
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = rng.integers(0, 20, 30)
        tensors = [
            Lifetime(int(rng.integers(1, 5000)), int(s), int(s + rng.integers(0, 6)))
            for s in starts
        ]
        offsets = arena.place(tensors)
        for i, a in enumerate(tensors):
            for j, b in enumerate(tensors[:i]):
                if a.first <= b.last and b.first <= a.last:
                    before = offsets[i] + a.size_bytes <= offsets[j]
                    assert before or offsets[j] + b.size_bytes <= offsets[i]
        assert all(offset % 64 == 0 for offset in offsets)


def test_alive_and_planned_by_hand():
    found = arena.plan_arena(read_graph(float_classifier()))
    # Image 8*8*3 floats, pooled 3 floats, logits 4 floats: all alive while the dense layer runs.
    assert found.live_bytes == 768 + 12 + 16
    assert found.planned_bytes == 768 + 64 + 12  # Logits, the larger, at 768; 3 floats at 832.


def test_the_runtime_lays_out_the_same_arena(shared):
    path = str(shared("peers/mobilenet_v2_1.0_224_ptq.tflite"))
    graph = read_graph(shared("peers/mobilenet_v2_1.0_224_ptq.tflite").read_bytes())
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(path, experimental_op_resolver_type=kind, num_threads=1)
    interpreter.allocate_tensors()
    addresses = []
    for index in {i for op in graph.ops for i in op.inputs + op.outputs}:
        if not graph.tensors[index].is_constant:
            view = interpreter.tensor(index)()
            addresses += [view.ctypes.data, view.ctypes.data + view.nbytes]
            del view
    assert arena.plan_arena(graph).planned_bytes == max(addresses) - min(addresses)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "int8.tflite"
    path.write_bytes(int8_classifier())
    return str(path)


def test_command_line(model, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert static.main([model, "--partitions", "--json", str(out)]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout.splitlines()[0].endswith("XNNPACK parts") and not stderr
    assert "  conv " in stdout and "  depthwise" not in stdout  # It has none.
    (row,) = json.loads(out.read_text())["results"]
    assert row["macs"] == 8 * 8 * 4 * 27 + 16 and row["file"] == "int8.tflite"
    assert row["classes"]["conv"]["macs"] == 6912 and row["partitions"]["count"] == 2
    assert static.main([model, "--json", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_notes_and_bad_files(tmp_path, capsys):
    tiny = TinyModel()
    x = tiny.tensor("x", (1, 8, 8, 3), "float32")
    tiny.op("my-kernel", [x], [x])
    odd, cut = tmp_path / "odd.tflite", tmp_path / "cut.tflite"
    odd.write_bytes(tiny.pack([x], [x]))
    cut.write_bytes(int8_classifier()[:900])
    assert static.main([str(odd)]) == 0
    assert "note: odd.tflite: the MACs leave out my-kernel x1" in capsys.readouterr().err
    assert static.main([str(cut)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the model must be an intact .tflite") and str(cut) in line
