"""Between the bytes of a .tflite and its object tree (`schema.ModelT`)."""

import contextlib
import os
import stat
from collections.abc import Iterator

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export import verifier

FILE_IDENTIFIER = b"TFL3"
_MAX_FILE_BYTES = 2**31 - 1  # Beyond that, the offsets of a FlatBuffer do not reach.
ALIGNMENT = 16  # The schema's `force_align` of buffers, so that files can be mapped.


@contextlib.contextmanager
def intact(path: str) -> Iterator[None]:
    """Says in the line of a `ValueError` which file is at fault, and the way out."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            "the model must be an intact .tflite file; convert or download it again. "
            f"Received: {path} ({error})"
        ) from None


def read_file(path: str) -> bytes:
    """Reads a whole model file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, or larger than a .tflite's offsets reach.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such model; check the path. Received: {path}")
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"the model must be a .tflite file. Received: {path}, which is none")
    if status.st_size > _MAX_FILE_BYTES:
        raise ValueError(
            f"files of up to 2 GiB are read; larger ones keep weights outside the FlatBuffer, "
            f"which image classifiers have no need of. Received: {path}, {status.st_size:,d} bytes"
        )
    with open(path, "rb") as file:
        return file.read()


def read_model(content: bytes) -> schema.ModelT:
    """Unpacks a whole model, after a check that no hostile content passes.

    Args:
        content: of a .tflite file.

    Returns:
        Its object tree; buffers as uint8 arrays, also those that the file keeps behind the
        FlatBuffer. Every index in it (of tensors, buffers, operation codes) is in range.

    Raises:
        ValueError: not an intact .tflite file.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise ValueError(f"{content[4:8]!r} at byte 4, where a .tflite file has TFL3")
    verifier.verify(content)
    model = schema.ModelT.InitFromPackedBuf(content)
    _take_in(model, content)
    _check_indices(model)
    return model


def _take_in(model: schema.ModelT, content: bytes) -> None:
    """Attaches what lies behind the FlatBuffer, as in files of more than 2 GB."""
    for buffer in model.buffers or []:
        if buffer.offset > 1:  # The runtime takes 0 and 1 for "inside".
            buffer.data = _slice(content, buffer.offset, buffer.size)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs or []:
        for op in graph.operators or []:
            if op.largeCustomOptionsOffset > 1:
                op.customOptions = _slice(
                    content, op.largeCustomOptionsOffset, op.largeCustomOptionsSize
                )
                op.largeCustomOptionsOffset = op.largeCustomOptionsSize = 0


def _slice(content: bytes, start: int, size: int) -> np.ndarray:
    if start + size > len(content):
        raise ValueError(f"a buffer of {size:,d} bytes at byte {start:,d} ends outside the file")
    return np.frombuffer(content, np.uint8, size, start)


def _check_indices(model: schema.ModelT) -> None:
    buffers, codes = len(model.buffers or []), len(model.operatorCodes or [])
    graphs = model.subgraphs or []
    if not graphs:
        raise ValueError("the model has no subgraph")
    for graph in graphs:
        tensors = len(graph.tensors or [])
        _check_range([tensor.buffer for tensor in graph.tensors or []], buffers, "buffer")
        _check_range([op.opcodeIndex for op in graph.operators or []], codes, "operation code")
        _check_range(graph.inputs, tensors, "tensor")
        _check_range(graph.outputs, tensors, "tensor")
        for op in graph.operators or []:
            for indices in (op.inputs, op.outputs, op.intermediates):
                _check_range(indices, tensors, "tensor", least=-1)  # -1 is "left out".
    _check_range([entry.buffer for entry in model.metadata or []], buffers, "buffer")
    for signature in model.signatureDefs or []:
        _check_range([signature.subgraphIndex], len(graphs), "subgraph")
        tensors = len(graphs[signature.subgraphIndex].tensors or [])
        for entry in (signature.inputs or []) + (signature.outputs or []):
            _check_range([entry.tensorIndex], tensors, "tensor")


def _check_range(
    indices: list[int] | np.ndarray | None, count: int, what: str, least: int = 0
) -> None:
    if indices is None or not len(indices):
        return
    low, high = np.min(indices), np.max(indices)
    if low < least or high >= count:
        received = low if low < least else high
        raise ValueError(f"the model refers to {what} {received} of {count}")


def pack_model(model: schema.ModelT) -> bytes:
    """Packs a whole model, each buffer aligned to 16 bytes; the same model gives the same bytes.

    Args:
        model: an object tree; buffers as bytes, uint8 arrays or None.

    Returns:
        The content of a .tflite file.
    """
    buffers = model.buffers
    model.buffers = [_AlignedBuffer(buffer.data) for buffer in buffers]
    try:
        builder = flatbuffers.Builder(sum(len(b.data) for b in buffers if b.data is not None))
        builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    finally:
        model.buffers = buffers
    return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):
    """A buffer that packs aligned; the generated one aligns to 4 bytes at best."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Writes the buffer's table; returns its offset."""
        vector = None
        if self.data is not None and len(self.data):
            values = bytes(self.data)
            builder.StartVector(1, len(values), ALIGNMENT)
            builder.head -= len(values)
            builder.Bytes[builder.head : builder.head + len(values)] = values
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
