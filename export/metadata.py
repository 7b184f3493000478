"""TFLite Model Metadata: labels, normalization and provenance inside a .tflite.

    python -m export.metadata FILE                        shows it
    python -m export.metadata FILE --labels labels.txt --output NEW.tflite    adds it

No maintained library writes it beside TensorFlow 2.21: MediaPipe's writers cannot be
imported since 0.10.35 (a native module is missing from the wheel), and tflite-support
ended in 2023 and pins a protobuf too old. So this package writes the few tables that
clients read, with plain flatbuffers.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

import numpy as np

from export import flatbuffer, labels
from export.metadata_tables import (
    ENTRY_NAME,
    ModelMetadata,
    find_entry,
    pack_metadata,
    unpack_metadata,
)
from mobilenet_tf import cli, files
from mobilenet_tf.progress import say
from mobilenet_tf.runtime import TFLiteModel

__all__ = ["ModelMetadata", "add_metadata", "read_metadata"]

_TEXTS = ("name", "description", "version", "author", "license")


def add_metadata(content: bytes, metadata: ModelMetadata) -> bytes:
    """Puts metadata into a model, replacing any that it has.

    Args:
        content: of a .tflite image classifier; files appended to it are left
            out.
        metadata: to add.

    Returns:
        The new content: buffers aligned to 16 bytes, labels.txt in a stored
        zip at the end. The same arguments give the same bytes.

    Raises:
        ValueError: not an image classifier, or labels that do not fit it or
            that clients would not show; see `labels.check_labels`.
    """
    model = _read_model(content)
    labels.check_labels(metadata.labels, _classes(model))
    entry = find_entry(model)
    if entry is None:
        entry = flatbuffer.schema.MetadataT()
        entry.name, entry.buffer = ENTRY_NAME, len(model.buffers)
        model.metadata = [*(model.metadata or []), entry]
        model.buffers.append(flatbuffer.schema.BufferT())
    model.buffers[entry.buffer].data = pack_metadata(metadata)
    names = labels.format_labels(metadata.labels)
    return labels.append_zip(flatbuffer.pack_model(model), files.LABELS, names)


def read_metadata(content: bytes) -> ModelMetadata | None:
    """Reads what a model says of itself.

    Args:
        content: of a .tflite file, of this project or another.

    Returns:
        The metadata, texts and labels empty where there are none; None where
        the model has no metadata.

    Raises:
        ValueError: not a .tflite file, or metadata or labels that are damaged
            or that clients refuse.
    """
    found = _read_texts(content)
    return None if found is None else _with_labels(content, *found)


def _with_labels(content: bytes, metadata: ModelMetadata, label_file: str | None) -> ModelMetadata:
    if label_file is None:
        return metadata
    return dataclasses.replace(
        metadata, labels=labels.parse_labels(labels.read_zip(content, label_file))
    )


def _read_texts(content: bytes) -> tuple[ModelMetadata, str | None] | None:
    """All but the labels, which lie behind the model, and the name of their file."""
    model = _read_model(content)
    entry = find_entry(model)
    if entry is None:
        return None
    packed = model.buffers[entry.buffer].data
    return unpack_metadata(b"" if packed is None else bytes(packed))


def _read_model(content: bytes) -> flatbuffer.schema.ModelT:
    try:
        return flatbuffer.read_model(content)
    except ValueError as error:
        raise ValueError(
            "the model must be an intact .tflite file; convert or download it again. "
            f"Received: {error}"
        ) from None


def _classes(model: flatbuffer.schema.ModelT) -> int:
    graph = model.subgraphs[0]
    inputs, outputs = _listed(graph.inputs), _listed(graph.outputs)
    shapes = [_listed(graph.tensors[i].shape) for i in inputs + outputs]
    is_classifier = len(inputs) == len(outputs) == 1 and len(shapes[0]) == 4 and shapes[0][3] == 3
    if not is_classifier or not shapes[1]:
        raise ValueError(
            "the model must be an image classifier with one (1, height, width, 3) input and "
            f"one output; name another. Received: {len(inputs)} inputs, {len(outputs)} outputs, "
            f"of shapes {shapes}"
        )
    return shapes[1][-1]


def _listed(vector: np.ndarray | None) -> list[int]:
    return [] if vector is None else [int(value) for value in vector]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with 2 on wrong usage."""
    parser = cli.parser(__doc__, "python -m export.metadata")
    parser.add_argument("file", metavar="FILE", help="a .tflite image classifier")
    group = parser.add_argument_group("to add; what is not named stays as it is")
    group.add_argument("--labels", metavar="PATH", help="class names, one a line, in order")
    for name in _TEXTS:
        group.add_argument(f"--{name}", metavar="TEXT")
    group.add_argument(
        "--mean", type=cli.finite_float, metavar="M", help="float32 input: (pixel - M) / S"
    )
    group.add_argument("--std", type=cli.positive_float, metavar="S")
    group.add_argument("--output", metavar="PATH", help="where to write (default: FILE itself)")
    group.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if (args.mean is None) != (args.std is None):
        alone = "--mean" if args.std is None else "--std"
        parser.error(
            "--mean and --std go together: pixels become (pixel - M) / S; name both. "
            f"Received: {alone} alone"
        )
    if args.output and not args.output.endswith(".tflite"):
        parser.error(f"--output must end in .tflite. Received: {args.output}")
    return args


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """The fields that the command line sets."""
    changes = {name: getattr(args, name) for name in _TEXTS if getattr(args, name) is not None}
    for name in ("mean", "std"):
        if getattr(args, name) is not None:
            changes[name] = (getattr(args, name),)
    if args.labels is not None:
        with files.naming(args.labels), open(args.labels, "rb") as file:
            changes["labels"] = labels.parse_labels(file.read())
    return changes


def _open(path: str) -> tuple[bytes, TFLiteModel]:
    content = flatbuffer.read_file(path)
    with files.naming(path):
        _classes(_read_model(content))  # Refuses what would crash the interpreter.
    return content, TFLiteModel(path)


def _write(
    args: argparse.Namespace, content: bytes, model: TFLiteModel, changes: dict[str, Any]
) -> ModelMetadata:
    """Adds metadata to a file and proves that the result still loads."""
    output = args.output or args.file
    files.refuse_existing(output, args.overwrite)
    if "labels" in changes:
        with files.naming(args.labels):
            labels.check_labels(changes["labels"], model.classes)
    metadata = ModelMetadata(**(_kept(args, content, model.input.dtype, changes) | changes))
    _warn(metadata)
    with files.replacing(output) as temporary:
        with files.naming(args.file), open(temporary, "wb") as file:
            file.write(add_metadata(content, metadata))
        TFLiteModel(temporary)
    return metadata


def _kept(
    args: argparse.Namespace, content: bytes, dtype: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """What the model says of itself already, with a note where that is a guess or lost."""
    kept = _previous(args, content, dtype, changes)
    if "labels" not in {*changes, *kept}:
        raise cli.UsageError(f"a model without labels needs --labels. Received: {args.file}")
    if dtype == "float32" and not {"mean", "std"} & {*changes, *kept}:
        say("note: pixels are declared as raw RGB in 0..255; for other input pass --mean and --std")
    if dtype not in ("float32", "uint8"):
        say(f"note: MediaPipe takes float32 and uint8 input only, and this model's is {dtype}")
    return kept


def _previous(
    args: argparse.Namespace, content: bytes, dtype: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """The fields that can be read; damaged labels do not cost the normalization beside them."""
    try:
        found = _read_texts(content)
    except ValueError:
        # What it said, of normalization above all, must not be lost without a word.
        if dtype == "float32" and "mean" not in changes:
            raise ValueError(
                "the metadata inside is damaged, and with it what pixels the model wants; "
                f"name it with --mean and --std, besides --labels. Received: {args.file}"
            ) from None
        say("note: the metadata inside is damaged; only what is named now is kept")
        return {}
    if found is None:
        return {}
    try:
        previous = _with_labels(content, *found)
    except ValueError:
        say("note: the labels inside are damaged; the rest of the metadata is kept")
        previous = found[0]
    return {key: value for key, value in vars(previous).items() if value}


def _warn(metadata: ModelMetadata) -> None:
    repeated = labels.repeated(metadata.labels)
    if repeated:
        names = ", ".join(repeated[:5]) + (", ..." if len(repeated) > 5 else "")
        say(f"note: several classes have the same label, and users cannot tell them apart: {names}")


def format_metadata(metadata: ModelMetadata, dtype: str) -> str:
    """Metadata as lines for people.

    Args:
        metadata: of a model.
        dtype: of the model's input.
    """
    lines = [f"{name}: {getattr(metadata, name)}" for name in _TEXTS]
    if dtype != "float32":
        # Clients heed the normalization options of float inputs only.
        lines.append(f"{dtype} input: the bytes of RGB pixels as they are")
    elif metadata.mean and metadata.std:
        mean, std = (", ".join(f"{x:g}" for x in v) for v in (metadata.mean, metadata.std))
        lines.append(f"float32 input: (pixel - {mean}) / {std}, RGB in 0..255")
    else:
        lines.append("float32 input: no normalization, which MediaPipe refuses; add --mean, --std")
    names = list(metadata.labels)
    shown = names if len(names) <= 10 else [*names[:5], "...", *names[-4:]]
    lines.append(f"labels: {len(names):,d} ({', '.join(shown)})")
    return "\n".join(lines)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Shows or adds metadata; returns the exit code."""
    args = parse_args(argv)
    changes = _changes(args)
    if not changes and (args.output or args.overwrite):
        raise cli.UsageError(
            "--output and --overwrite go with something to add, such as --labels. "
            f"Received: {args.file} alone"
        )
    content, model = _open(args.file)
    if changes:
        metadata: ModelMetadata | None = _write(args, content, model, changes)
    else:
        with files.naming(args.file):
            metadata = read_metadata(content)
        if metadata is not None and metadata.labels and len(metadata.labels) != model.classes:
            say(
                f"note: clients refuse this file: {len(metadata.labels):,d} labels for "
                f"{model.classes:,d} outputs; add the right ones with --labels"
            )
    if args.json:
        fields = None if metadata is None else dataclasses.asdict(metadata)
        print(json.dumps(fields, indent=2, ensure_ascii=False))
    elif metadata is None:
        print("no metadata; add it with --labels")
    else:
        print(format_metadata(metadata, model.input.dtype))
    return 0


if __name__ == "__main__":
    sys.exit(main())
