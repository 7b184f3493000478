"""Between the bytes of a .tflite and its object tree (`schema.ModelT`)."""

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # The schema's `force_align` of buffers, so that files can be mapped.


def read_model(content: bytes) -> schema.ModelT:
    """Unpacks a whole model.

    Args:
        content: of a .tflite file.

    Returns:
        Its object tree; buffers as uint8 arrays.

    Raises:
        ValueError: not a .tflite file.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise ValueError(f"a .tflite file has TFL3 at byte 4. Received: {content[4:8]!r}")
    return schema.ModelT.InitFromPackedBuf(content)


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
