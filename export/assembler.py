"""Putting a .tflite together: tensors, operations and the signature around them."""

import dataclasses
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export import flatbuffer
from export.quantization.scales import TensorScale

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
}


@dataclasses.dataclass(frozen=True)
class ChannelScales:
    """Scales of a constant, one per index of an axis; zero points 0.

    Attributes:
        scales: float32 (channels,).
        axis: of the channels.
    """

    scales: np.ndarray
    axis: int


class Assembler:
    """Collects one subgraph; indices are those of the file.

    Args:
        description: for people who open the file in a viewer.
    """

    def __init__(self, description: str) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.description = description
        self._model.operatorCodes = []
        self._model.buffers = [schema.BufferT()]  # The first is empty: "no data".
        self._subgraph = schema.SubGraphT()
        self._subgraph.name = "main"
        self._subgraph.tensors, self._subgraph.operators = [], []
        self._codes: dict[tuple[int, int], int] = {}

    def add_tensor(
        self, name: str, shape: tuple[int, ...], dtype: str, scale: TensorScale | None = None
    ) -> int:
        """Adds a tensor that an operation or the caller fills; returns its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        tensor.type = _TYPES[dtype]
        if scale is not None:
            tensor.quantization = _quantization([scale.scale], [scale.zero_point], 0)
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def add_constant(
        self, name: str, values: np.ndarray, scale: TensorScale | ChannelScales | None = None
    ) -> int:
        """Adds a tensor whose values are in the file; returns its index."""
        one = scale if isinstance(scale, TensorScale) else None
        index = self.add_tensor(name, values.shape, values.dtype.name, one)
        tensor = self._subgraph.tensors[index]
        if isinstance(scale, ChannelScales):
            zeros = [0] * len(scale.scales)
            tensor.quantization = _quantization(list(scale.scales), zeros, scale.axis)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer = len(self._model.buffers) - 1
        return index

    def add_operation(
        self, kind: str, version: int, inputs: list[int], output: int, options: Any = None
    ) -> None:
        """Adds an operation.

        Args:
            kind: of `schema.BuiltinOperator`, such as "CONV_2D".
            version: of its semantics; decides the least runtime that takes it.
            inputs, output: tensor indices.
            options: the schema's object for this kind.
        """
        code = getattr(schema.BuiltinOperator, kind)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_index(code, version)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._subgraph.operators.append(operator)

    def _code_index(self, code: int, version: int) -> int:
        if (code, version) not in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, version
            entry.deprecatedBuiltinCode = min(code, 127)  # What runtimes before 2.4 read.
            self._model.operatorCodes.append(entry)
            self._codes[code, version] = len(self._model.operatorCodes) - 1
        return self._codes[code, version]

    def finish(self, signature: str, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The file, with one signature of named tensors."""
        self._subgraph.inputs = list(inputs.values())
        self._subgraph.outputs = list(outputs.values())
        entry = schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = signature, 0
        entry.inputs, entry.outputs = _tensor_maps(inputs), _tensor_maps(outputs)
        self._model.signatureDefs = [entry]
        self._model.subgraphs = [self._subgraph]
        return flatbuffer.pack_model(self._model)


def _quantization(scales: list, zero_points: list, axis: int) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint = scales, zero_points
    parameters.quantizedDimension = axis
    return parameters


def _tensor_maps(tensors: dict[str, int]) -> list[schema.TensorMapT]:
    maps = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        maps.append(entry)
    return maps
