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
        kind: a dataclass; its fields have plain types, unions and literals.
        content: values by name of the field.

    Raises:
        TypeError: no mapping, a name that is no field, one that is missing, or
            a value of another type.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{kind.__name__} is {content!r}")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in content and not _fits(content[field.name], hints[field.name]):
            raise TypeError(f"{field.name} is {content[field.name]!r}")
    return kind(**content)


def _fits(value: Any, hint: Any) -> bool:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in choices
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in choices)
    if isinstance(value, bool) or hint is bool:
        return hint is bool and isinstance(value, bool)
    # JSON has one kind of number: 1.0 may come back as 1.
    return isinstance(value, (int, float) if hint is float else hint)
