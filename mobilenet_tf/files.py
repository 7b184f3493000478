"""Writing files and folders whole: beside the target first, then renamed onto it."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

# Class names, one a line, in the order of the outputs: beside a model, inside it, in a bundle.
LABELS = "labels.txt"
_TEMPORARY = ".unfinished-"


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
    require_parent(path)
    folder, name = os.path.split(os.path.abspath(path))
    with _naming_folder(folder):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY, suffix=f"-{name}")
    os.close(handle)
    os.chmod(temporary, 0o666 & ~_umask())
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, temporary):  # Nobody has heard of that name.
            raise OSError(error.errno, error.strerror, path) from None
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def is_leftover(name: str) -> bool:
    """True for a file name that only `replacing` gives, and only while it writes."""
    return name.startswith(_TEMPORARY)


@contextlib.contextmanager
def staging(path: str) -> Iterator[str]:
    """Gives a temporary folder beside `path`, to fill before a rename, and removes it.

    Args:
        path: of the folder to write or replace.

    Yields:
        The temporary folder.

    Raises:
        OSError: the parent folder is missing, read-only or full.
    """
    require_parent(path)
    folder, name = os.path.split(os.path.abspath(path))
    with _naming_folder(folder):
        temporary = tempfile.mkdtemp(dir=folder, prefix=f".{name}-")
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _naming_folder(folder: str) -> Iterator[None]:
    """Names the folder in errors, not the temporary file that could not be made in it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from None


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Adds the path to the line of a `ValueError`, for checks that know only the content."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from None


def require_parent(path: str) -> None:
    """Raises `FileNotFoundError` unless the folder that `path` is to lie in exists."""
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(
            f"the folder to write to must exist; make it first or name another. Received: {path}"
        )


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


def sha256(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(path: str, overwrite: bool) -> None:
    """Raises `ValueError` where `path` exists and may not be replaced."""
    if os.path.exists(path) and not overwrite:
        raise ValueError(
            f"existing files are kept; pass --overwrite or another path. Received: {path}"
        )
