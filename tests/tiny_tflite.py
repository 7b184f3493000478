"""A whole .tflite image classifier, made by hand in no time: softmax(W * pixels)."""

import numpy as np

from export import flatbuffer

schema = flatbuffer.schema
SIDE = 4  # Of the input, in pixels.


def weights(classes: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """float32 (classes, height * width * 3), the model's only weights."""
    rng = np.random.default_rng(classes)
    return rng.normal(0, 0.002, (classes, height * width * 3)).astype(np.float32)


def expected_scores(pixels: np.ndarray, classes: int) -> np.ndarray:
    """float32 (classes,), what the model gives for uint8 (height, width, 3)."""
    logits = weights(classes, *pixels.shape[:2]) @ pixels.reshape(-1).astype(np.float32)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def tiny_model(
    classes: int = 3, dtype: str = "uint8", height: int = SIDE, width: int = SIDE
) -> bytes:
    """Content of a .tflite: `image` (1, height, width, 3) to `probabilities` (1, classes)."""
    flat = height * width * 3
    shape_values = np.array([1, flat], np.int32)
    tensors = [
        _tensor("image", (1, height, width, 3), dtype),
        _tensor("pixels", (1, height, width, 3), "float32"),
        _tensor("flat_shape", (2,), "int32", buffer=1),
        _tensor("flat", (1, flat), "float32"),
        _tensor("weights", (classes, flat), "float32", buffer=2),
        _tensor("logits", (1, classes), "float32"),
        _tensor("probabilities", (1, classes), "float32"),
    ]
    operators = [
        _operator(0, [0], [1], "CastOptions"),
        _operator(1, [1, 2], [3], "ReshapeOptions"),
        _operator(2, [3, 4, -1], [5], "FullyConnectedOptions"),
        _operator(3, [5], [6], "SoftmaxOptions", beta=1.0),
    ]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [6]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    names = ("CAST", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")
    model.operatorCodes = [_code(getattr(schema.BuiltinOperator, name)) for name in names]
    contents = (None, shape_values.tobytes(), weights(classes, height, width).tobytes())
    model.buffers = [_buffer(content) for content in contents]
    return flatbuffer.pack_model(model)


def _tensor(name: str, shape: tuple[int, ...], dtype: str, buffer: int = 0):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.type = getattr(schema.TensorType, dtype.upper())
    if dtype == "uint8":
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [0]
    return tensor


def _operator(code: int, inputs: list[int], outputs: list[int], options: str, **values):
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, f"{options}T")()
    for name, value in values.items():
        setattr(operator.builtinOptions, name, value)
    return operator


def _code(builtin: int):
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
    if builtin == schema.BuiltinOperator.FULLY_CONNECTED:
        code.version = 2  # One that the file holds: it leaves out a version of 1.
    return code


def _buffer(content: bytes | None):
    buffer = schema.BufferT()
    buffer.data = content
    return buffer
