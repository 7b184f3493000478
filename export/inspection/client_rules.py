"""The rules by which clients refuse a .tflite, or run it badly, with the source of each.

Where a rule names operations, the lists are in `client_ops`.
"""

import dataclasses
from collections.abc import Callable, Iterable

from export.inspection import conditions
from export.inspection.client_ops import EDGE_TPU_OPS, GPU_OPS, NNAPI_OPS
from export.inspection.file_graph import Graph

REFUSES = "refuses"  # The client does not load or does not accelerate the file.
PARTLY = "partly"  # It runs, but some of it on the CPU or slowly.
NOTE = "note"  # It runs, and something is missing or uncertain.

MEDIAPIPE = "MediaPipe ImageClassifier"
LITERT_JS = "LiteRT.js"
XNNPACK = "XNNPACK (CPU)"
GPU = "GPU delegate"
EDGE_TPU = "Edge TPU"
NNAPI = "NNAPI (deprecated in Android 15)"
ANY = "any client"
CLIENTS = (MEDIAPIPE, LITERT_JS, XNNPACK, GPU, EDGE_TPU, NNAPI)

_RAN_MEDIAPIPE = "run with mediapipe 0.10.21 and 1.2.2"
_GPU_SOURCE = "tflite/tools/versioning/gpu_compatibility.cc, google-ai-edge/LiteRT"
_CORAL = "coral.ai/docs/edgetpu/models-intro"
_NNAPI_SOURCE = "tensorflow/lite/delegates/nnapi/nnapi_delegate.cc"
_NNAPI_DOC = "tensorflow.org/lite/android/delegates/nnapi"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A reason for a client to refuse a file.

    Attributes:
        client: one of `CLIENTS`, or `ANY`.
        verdict: `REFUSES`, `PARTLY` or `NOTE`.
        find: what in a model the rule applies to, each as text; nothing if it does not.
        reason: why.
        change: what to do about it.
        source: where this is known from.
    """

    client: str
    verdict: str
    find: Callable[[Graph], Iterable[str]]
    reason: str
    change: str
    source: str


RULES: tuple[Rule, ...] = (
    Rule(
        ANY,
        REFUSES,
        conditions.custom,
        "a custom operation runs only where its kernel is registered",
        "convert with builtin operations only (an Edge TPU or Flex file needs its own runtime)",
        "ai.google.dev/edge/litert/models/ops_custom",
    ),
    Rule(
        ANY,
        NOTE,
        conditions.shape_arithmetic,
        "a dynamic batch left operations that compute shapes at run time",
        "convert with a fixed batch of 1",
        "measured: keras.applications V1 and V3, TensorFlow 2.21 converter",
    ),
    Rule(
        ANY,
        REFUSES,
        conditions.external,
        "weights lie in another file, which has to be shipped beside this one",
        "convert to a single file",
        "tflite/converter/schema/schema.fbs, google-ai-edge/LiteRT",
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.not_an_image_classifier,
        "an image classifier has one input [1, height, width, 3]",
        "give the network one RGB image input",
        "ai.google.dev/edge/mediapipe/solutions/vision/image_classifier",
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.inputs_beside({"uint8", "float32"}),
        '"Requested one of these types: uint8/float32"',
        "convert with a uint8 input (--quantize int8 does)",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.float_input_without_normalization,
        '"it requires specifying NormalizationOptions metadata"',
        "write metadata with mean and std into the file, or convert with a uint8 input",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.outputs_beside({"uint8", "float32", "bool"}),
        '"to have type UINT8 or FLOAT32 or BOOL"',
        "convert with a float32 output",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.compressed_labels,
        '"Expected uncompressed zip archive."',
        "store the labels in the zip without compression",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.wrong_label_count,
        "fails at the first image: num_classes == GetLabelMap(cc).size()",
        "embed as many labels as the output has classes",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.broken_metadata,
        "the metadata cannot be read",
        "write the metadata again",
        "MediaPipe's metadata_schema.fbs",
    ),
    Rule(
        MEDIAPIPE,
        REFUSES,
        conditions.lost_labels,
        '"No associated file with name: ..."',
        "add the labels again with python -m export.metadata",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        MEDIAPIPE,
        NOTE,
        conditions.no_labels,
        "results have an index and no name",
        "embed labels, or look the index up in labels.txt",
        _RAN_MEDIAPIPE,
    ),
    Rule(
        LITERT_JS,
        REFUSES,
        conditions.inputs_beside({"float32", "int32", "uint8"}),
        '"Element type INT8 is not supported."',
        "convert with a uint8 or float32 input",
        "run with @litertjs/core 2.5.3",
    ),
    Rule(
        LITERT_JS,
        REFUSES,
        conditions.outputs_beside({"float32", "int32", "uint8"}),
        '"Element type INT8 is not supported."',
        "convert with a float32 output",
        "run with @litertjs/core 2.5.3",
    ),
    Rule(
        XNNPACK,
        PARTLY,
        conditions.quantized("HARD_SWISH"),
        "XNNPACK takes HARD_SWISH in float only: each one splits the model",
        "write it as x * relu6(x + 3), the factor 6 in the next layer, or use minimalistic",
        "measured: LiteRT 2.3.0 on x86, 3 times slower than float",
    ),
    Rule(
        XNNPACK,
        PARTLY,
        conditions.integer_activations(frozenset({"int16"})),
        "XNNPACK has no kernels of 16 bits: nearly all of it runs in slow ones",
        "use int8 for speed",
        "measured: LiteRT 2.3.0 leaves all but the softmax to built-in kernels",
    ),
    Rule(
        XNNPACK,
        PARTLY,
        conditions.quantized("AVERAGE_POOL_2D"),
        "XNNPACK leaves it to the built-in kernel, which splits the model",
        "average with MEAN, as GlobalAveragePooling2D becomes",
        "measured: LiteRT 2.3.0 on x86",
    ),
    Rule(
        GPU,
        REFUSES,
        conditions.dynamic,
        "delegates need static shapes",
        "convert with fixed input sides and a batch of 1",
        "ai.google.dev/edge/litert/performance/gpu",
    ),
    Rule(
        GPU,
        PARTLY,
        conditions.ops_outside(GPU_OPS),
        "not among the delegate's operations: it and its copies stay on the CPU",
        "replace the operation",
        _GPU_SOURCE,
    ),
    Rule(
        GPU,
        REFUSES,
        conditions.integer_activations(frozenset({"int16"})),
        '"Unsupported dequantization type."',
        "use float16 for GPUs",
        _GPU_SOURCE,
    ),
    Rule(
        GPU,
        NOTE,
        conditions.integer_activations(frozenset({"int8", "uint8"})),
        "computed in float with quantized models allowed, refused without: no gain from int8",
        "for GPUs ship the float16 file, for CPUs this one",
        "ai.google.dev/edge/litert/performance/gpu; google-ai-edge/mediapipe issue 3651",
    ),
    Rule(
        EDGE_TPU,
        REFUSES,
        conditions.not_quantized,
        '"Model not quantized": all of it must be 8-bit',
        "convert with --quantize int8",
        _CORAL,
    ),
    Rule(
        EDGE_TPU,
        REFUSES,
        conditions.integer_activations(frozenset({"int16", "int4"})),
        "the compiler takes 8-bit tensors only",
        "convert with --quantize int8",
        _CORAL,
    ),
    Rule(
        EDGE_TPU,
        REFUSES,
        conditions.dynamic,
        "tensor sizes must be constant",
        "convert with fixed input sides and a batch of 1",
        _CORAL,
    ),
    Rule(
        EDGE_TPU,
        PARTLY,
        conditions.ops_outside(EDGE_TPU_OPS | {"DEQUANTIZE"}),
        "not among its operations: from the first of them on everything runs on the CPU",
        "for HARD_SWISH use minimalistic or relu6; at the very end it costs little",
        f"{_CORAL}; google-coral/edgetpu issue 353",
    ),
    Rule(
        EDGE_TPU,
        NOTE,
        conditions.ops_named("DEQUANTIZE"),
        "it, and what follows it, runs on the CPU",
        "nothing, where it only ends the model; where it begins one, convert with "
        "--quantize int8-float-fallback",
        "google-coral/edgetpu issue 659",
    ),
    Rule(
        NNAPI,
        REFUSES,
        conditions.dynamic,
        '"only supports static-sized tensors"',
        "convert with fixed input sides and a batch of 1",
        _NNAPI_DOC,
    ),
    Rule(
        NNAPI,
        PARTLY,
        conditions.ops_outside(NNAPI_OPS),
        "not among the delegate's operations: it stays on the CPU",
        "replace the operation",
        _NNAPI_SOURCE,
    ),
    Rule(
        NNAPI,
        PARTLY,
        conditions.newer_than_nnapi,
        "newer than the delegate knows: it stays on the CPU",
        "convert statically quantized, with an older converter if need be",
        _NNAPI_SOURCE,
    ),
    Rule(
        NNAPI,
        NOTE,
        conditions.quantized("HARD_SWISH"),
        "some drivers compute it off by one",
        "compare scores on the device",
        "tensorflow/tensorflow issue 35847",
    ),
)
