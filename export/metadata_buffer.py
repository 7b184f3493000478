"""Writing flatbuffer tables by slot, without generated code.

Enough for TFLite Model Metadata: strings, 8-bit enums, tables, vectors of floats
and of tables.
"""

from collections.abc import Mapping
from typing import Any

import flatbuffers

FILE_IDENTIFIER = b"M001"


def pack(fields: Mapping[int, Any]) -> bytes:
    """Writes a table and all below it.

    Args:
        fields: slot to value: str; int for an 8-bit enum; a mapping for a
            table; a list of floats or of mappings for a vector.

    Returns:
        The flatbuffer; the same fields give the same bytes.
    """
    builder = flatbuffers.Builder()
    builder.Finish(_write_table(builder, fields), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: flatbuffers.Builder, fields: Mapping[int, Any]) -> int:
    # Children first: a table cannot be started while another is open.
    offsets = {
        slot: _write_child(builder, value)
        for slot, value in fields.items()
        if not isinstance(value, int)
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in fields.items():
        if slot in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
        else:
            builder.PrependInt8Slot(slot, value, 0)
    return builder.EndObject()


def _write_child(builder: flatbuffers.Builder, value: Any) -> int:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _write_table(builder, value)
    tables = [_write_table(builder, item) for item in value if isinstance(item, Mapping)]
    builder.StartVector(4, len(value), 4)
    for item in reversed(tables or value):
        if tables:
            builder.PrependUOffsetTRelative(item)
        else:
            builder.PrependFloat32(item)
    return builder.EndVector()
