"""Dataclasses from JSON, every value of the type that its field has."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

Built = typing.TypeVar("Built")


def build(kind: type[Built], content: Mapping[str, Any]) -> Built:
    """Makes a dataclass of a mapping.

    Args:
        kind: a dataclass; its fields have plain types, unions, literals, and
            such dataclasses.
        content: values by name of the field.

    Raises:
        TypeError: no mapping, a name that is no field, one that is missing, or
            a value of another type.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{kind.__name__} is {content!r}")
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    fields = {name: _of(hints[name], content[name], name) for name in names if name in content}
    return kind(**{**content, **fields})


def _of(hint: Any, value: Any, name: str) -> Any:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    for choice in typing.get_args(hint) if union else (hint,):
        if dataclasses.is_dataclass(choice) and isinstance(value, Mapping):
            return build(typing.cast(type, choice), value)
        if _fits(value, choice):
            return value
    raise TypeError(f"{name} is {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(value, bool) or hint is bool:
        return hint is bool and isinstance(value, bool)
    # JSON has one kind of number: 1.0 may come back as 1.
    return isinstance(value, (int, float) if hint is float else hint)
