"""Tiny .tflite models, put together by hand: no converter, milliseconds each."""

import io
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.flatbuffer import pack_model

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int16": 7, "int8": 9}


class TinyModel:
    """A model under construction; `main` is its subgraph."""

    def __init__(self) -> None:
        self.model = schema.ModelT(version=3, buffers=[schema.BufferT()], metadata=[])
        self.main = schema.SubGraphT(name="main", tensors=[], operators=[], inputs=[], outputs=[])
        self.model.subgraphs, self.model.operatorCodes = [self.main], []

    def tensor(self, name, shape, dtype, scale=(), zero_point=0, data=None, axis=0) -> int:
        """Adds a tensor; returns its index."""
        tensor = schema.TensorT(shape=list(shape), type=_TYPES[dtype], name=name, buffer=0)
        if scale:
            points = [zero_point] * len(scale)
            tensor.quantization = schema.QuantizationParametersT(
                scale=list(scale), zeroPoint=points, quantizedDimension=axis
            )
        if data is not None:
            tensor.buffer = self._buffer(np.asarray(data, dtype).reshape(shape).tobytes())
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1

    def op(self, name, inputs, outputs, options=None, version=1) -> None:
        """Adds an operation; a name that is no builtin's is a custom one."""
        number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        code = schema.OperatorCodeT(
            builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=version
        )
        if number == schema.BuiltinOperator.CUSTOM:
            code.customCode = name
        op = schema.OperatorT(len(self.model.operatorCodes), list(inputs), list(outputs))
        if options is not None:
            op.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.model.operatorCodes.append(code)
        self.main.operators.append(op)

    def attach(self, name: str, data: bytes) -> None:
        """Adds a metadata buffer."""
        self.model.metadata.append(schema.MetadataT(name, self._buffer(data)))

    def _buffer(self, data: bytes) -> int:
        self.model.buffers.append(schema.BufferT(np.frombuffer(data, np.uint8)))
        return len(self.model.buffers) - 1

    def pack(self, inputs, outputs) -> bytes:
        """The file's content."""
        self.main.inputs, self.main.outputs = list(inputs), list(outputs)
        return pack_model(self.model)


def int8_classifier(activation="HARD_SWISH", classes=4, labels=None, zip_kind=zipfile.ZIP_STORED):
    """uint8 [1, 8, 8, 3] in, float32 [1, classes] out, int8 between; loads in LiteRT."""
    tiny, rng = TinyModel(), np.random.default_rng(0)
    image = tiny.tensor("image", (1, 8, 8, 3), "uint8", (1.0,), 0)
    shifted = tiny.tensor("shifted", (1, 8, 8, 3), "int8", (1.0,), -128)
    tiny.op("QUANTIZE", [image], [shifted])
    kernel = rng.integers(-127, 128, (4, 3, 3, 3))
    scales = (0.01, 0.02, 0.01, 0.03)
    weights = tiny.tensor("kernel", (4, 3, 3, 3), "int8", scales, 0, kernel)
    bias = tiny.tensor("bias", (4,), "int32", scales, 0, [1, 2, 3, 4])
    features = tiny.tensor("features", (1, 8, 8, 4), "int8", (0.5,), 0)
    options = schema.Conv2DOptionsT(padding=0, strideW=1, strideH=1)
    options.dilationWFactor = options.dilationHFactor = 1
    tiny.op("CONV_2D", [shifted, weights, bias], [features], options, version=3)
    active = tiny.tensor("active", (1, 8, 8, 4), "int8", (0.5,), 0)
    tiny.op(activation, [features], [active])
    axes = tiny.tensor("axes", (2,), "int32", data=[1, 2])
    pooled = tiny.tensor("pooled", (1, 4), "int8", (0.5,), 0)
    tiny.op("MEAN", [active, axes], [pooled], schema.ReducerOptionsT(), version=2)
    dense = tiny.tensor(
        "dense", (classes, 4), "int8", (0.1,), 0, rng.integers(-127, 128, (classes, 4))
    )
    logits = tiny.tensor("logits", (1, classes), "int8", (0.5,), 0)
    tiny.op("FULLY_CONNECTED", [pooled, dense, -1], [logits], schema.FullyConnectedOptionsT(), 4)
    real = tiny.tensor("real", (1, classes), "float32")
    tiny.op("DEQUANTIZE", [logits], [real], version=2)
    output = tiny.tensor("probabilities", (1, classes), "float32")
    tiny.op("SOFTMAX", [real], [output], schema.SoftmaxOptionsT(beta=1.0))
    tiny.attach("min_runtime_version", b"1.14.0".ljust(16, b"\0"))
    if labels is None:
        return tiny.pack([image], [output])
    tiny.attach("TFLITE_METADATA", metadata(normalizes=True, label_file="labels.txt"))
    return tiny.pack([image], [output]) + _zipped("labels.txt", labels, zip_kind)


def _zipped(name: str, lines: list[str], kind: int) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", kind) as file:
        file.writestr(name, "".join(f"{line}\n" for line in lines))
    return archive.getvalue()


def metadata(normalizes: bool, label_file: str) -> bytes:
    """Model metadata with the slots of MediaPipe's metadata_schema.fbs."""
    builder = flatbuffers.Builder()

    def table(slots: dict[int, tuple[str, int]]) -> int:
        builder.StartObject(max(slots, default=0) + 1)
        for slot, (kind, value) in slots.items():
            add = {"offset": builder.PrependUOffsetTRelativeSlot, "byte": builder.PrependUint8Slot}
            add[kind](slot, value, 0)
        return builder.EndObject()

    def vector(tables: list[int]) -> int:
        builder.StartVector(4, len(tables), 4)
        for offset in reversed(tables):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def floats(*values: float) -> int:
        return builder.CreateNumpyVector(np.array(values, np.float32))

    name = builder.CreateString(label_file)
    file = table({0: ("offset", name), 2: ("byte", 2)})  # TENSOR_AXIS_LABELS
    output = table({6: ("offset", vector([file]))})
    units = []
    if normalizes:
        options = table({0: ("offset", floats(0.0)), 1: ("offset", floats(1.0))})
        units = [table({0: ("byte", 1), 1: ("offset", options)})]
    image = table({4: ("offset", vector(units))})
    subgraph = table({2: ("offset", vector([image])), 3: ("offset", vector([output]))})
    builder.Finish(table({3: ("offset", vector([subgraph]))}), file_identifier=b"M001")
    return bytes(builder.Output())


def float_classifier(classes=4, batch=1) -> bytes:
    """float32 [batch, 8, 8, 3] in, float32 [batch, classes] out."""
    tiny = TinyModel()
    image = tiny.tensor("image", (batch, 8, 8, 3), "float32")
    axes = tiny.tensor("axes", (2,), "int32", data=[1, 2])
    pooled = tiny.tensor("pooled", (batch, 3), "float32")
    tiny.op("MEAN", [image, axes], [pooled], schema.ReducerOptionsT())
    dense = tiny.tensor("dense", (classes, 3), "float32", data=np.ones((classes, 3)))
    output = tiny.tensor("logits", (batch, classes), "float32")
    tiny.op("FULLY_CONNECTED", [pooled, dense, -1], [output], schema.FullyConnectedOptionsT())
    return tiny.pack([image], [output])
