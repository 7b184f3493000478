"""Writing files whole: beside the target first, then renamed onto it."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives a temporary path in the same folder and renames it when all went well.

    Args:
        path: of the file to write or replace.

    Yields:
        Where to write. It has the same suffixes, since Keras looks at them.

    Raises:
        OSError: the folder is missing, read-only or full; nothing is left.
    """
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=f"-{name}")
    os.close(handle)
    os.chmod(temporary, 0o666 & ~_umask())
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    # What is not UTF-8 of a path becomes \udcXX: valid, and the same again, in JSON.
    with (
        replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write(text)


def write_json(path: str, value: Any) -> None:
    """Writes JSON that people can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def refuse_existing(path: str, overwrite: bool) -> None:
    """Raises `FileExistsError` where `path` exists and may not be replaced."""
    if os.path.exists(path) and not overwrite:
        raise ValueError(
            f"existing files are kept; pass --overwrite or another path. Received: {path}"
        )
