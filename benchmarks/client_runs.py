"""Runs a model file as apps do: in the programs of `client_programs` and in the page.

Each client is a process of its own, since neither MediaPipe nor tflite-runtime can be
installed beside TensorFlow. All of them print JSON with `scores`, image by image.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import ai_edge_litert
import numpy as np

from mobilenet_tf.runtime import TFLiteModel

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = REPOSITORY / "benchmarks" / "client_programs"
MODEL, ARRAY, PIXELS, TENSORS = "model.tflite", "images.npy", "images.rgb", "images.input"
TIMEOUT_S = 120.0  # A MediaPipe task that failed can block its process for ever.
_SECONDS_PER_IMAGE = 1.0  # Added to it; far more than any client needs.
_NO_CHROMIUM = 3  # Exit code of web/scores.mjs.
_NO_SCORES = "it printed no scores"
_MOST_LETTERS = 200  # Of a program's complaint.


class NotAvailable(Exception):
    """This computer lacks what a client needs; the message says what."""


class ClientFailed(Exception):
    """A client that is here did not classify; the message says why."""


@dataclasses.dataclass(frozen=True)
class Client:
    """A program that runs .tflite files.

    Attributes:
        name: for people.
        command: gives, for a folder of `write_inputs`, the command that
            classifies what is in it; raises `NotAvailable`.
    """

    name: str
    command: Callable[[str], list[str]]


def write_inputs(folder: str, model: str, pixels: np.ndarray) -> None:
    """Writes what the clients read: one model, one set of images, in each one's form.

    Args:
        folder: an empty folder.
        model: path of the .tflite file.
        pixels: uint8 (images, height, width, 3), RGB, of the model's size.

    Raises:
        ValueError: the model takes neither uint8 nor float32.
    """
    dtype = TFLiteModel(model).input.dtype
    if dtype not in ("uint8", "float32"):
        raise ValueError(f"the clients take uint8 and float32 input. Received: {model}, {dtype}")
    shutil.copyfile(model, os.path.join(folder, MODEL))
    np.save(os.path.join(folder, ARRAY), pixels)
    pixels.tofile(os.path.join(folder, PIXELS))
    pixels.astype(dtype).tofile(os.path.join(folder, TENSORS))


def run(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess:
    """Runs a program and keeps what it prints.

    Raises:
        ClientFailed: it did not end in time.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ClientFailed(f"not done after {timeout_s:.0f} s") from None


def answer(client: Client, folder: str, images: int) -> Any:
    """Classifies the images of a folder.

    Args:
        client: which program.
        folder: of `write_inputs`.
        images: how many there are; the time allowed grows with them.

    Returns:
        What the program printed: an object with "scores" and what else it
        says of itself.

    Raises:
        NotAvailable: the client cannot be run on this computer.
        ClientFailed: it failed.
    """
    done = run(client.command(folder), TIMEOUT_S + images * _SECONDS_PER_IMAGE)
    complaint = _complaint(done.stderr)
    if done.returncode == _NO_CHROMIUM:
        raise NotAvailable(complaint)
    if done.returncode:
        raise ClientFailed(complaint or f"exit code {done.returncode}")
    try:
        # Engines write lines of their own before it.
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise ClientFailed(_NO_SCORES) from None


def scores_of(said: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The scores in an answer.

    Args:
        said: from `answer`.
        shape: that they must have, (images, classes).

    Returns:
        float32 of that shape, finite.

    Raises:
        ClientFailed: there are no such scores in it.
    """
    try:
        scores = np.array(said["scores"], np.float32)
    except (KeyError, TypeError, ValueError):
        raise ClientFailed(_NO_SCORES) from None
    if scores.shape != shape:
        raise ClientFailed(f"scores of shape {scores.shape}, not {shape}")
    if not np.isfinite(scores).all():
        raise ClientFailed("scores that are no finite numbers")
    return scores


def environment_python(name: str) -> str:
    """Path of the Python in an environment that `make test-clients` made.

    Args:
        name: of its folder, below .venv-clients or MOBILENET_TF_CLIENTS.

    Raises:
        NotAvailable: there is none.
    """
    root = pathlib.Path(os.environ.get("MOBILENET_TF_CLIENTS") or REPOSITORY / ".venv-clients")
    path = root / name / "bin" / "python"
    if not path.exists():
        raise NotAvailable(f"no environment {root.name}/{name}: run make test-clients")
    return str(path)


def build_c_client(folder: str) -> str:
    """Compiles the C program, linked with the library that apps link.

    Args:
        folder: to write it to.

    Returns:
        Path of the program.

    Raises:
        NotAvailable: no compiler, or a LiteRT without its library.
        ClientFailed: the compiler refused it.
    """
    gcc = shutil.which("gcc")
    library = os.path.dirname(ai_edge_litert.__file__)
    if gcc is None:
        raise NotAvailable("no gcc: install it")
    if not os.path.isfile(os.path.join(library, "libLiteRt.so")):
        raise NotAvailable("no libLiteRt.so in this ai-edge-litert: it comes with that for Linux")
    binary = os.path.join(folder, "client")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror"]
    link = [f"-L{library}", "-l:libLiteRt.so", f"-Wl,-rpath,{library}"]
    done = run([gcc, *flags, str(PROGRAMS / "client.c"), "-o", binary, *link])
    if done.returncode:
        raise ClientFailed(_complaint(done.stderr))
    return binary


def _c_command(folder: str) -> list[str]:
    binary = build_c_client(folder)
    return [binary, os.path.join(folder, MODEL), os.path.join(folder, TENSORS)]


def _python_client(name: str, environment: str, program: str) -> Client:
    def command(folder: str) -> list[str]:
        python = environment_python(environment)
        inputs = [os.path.join(folder, file) for file in (MODEL, ARRAY)]
        return [python, str(PROGRAMS / program), *inputs]

    return Client(name, command)


def _browser_client(name: str, engine: str) -> Client:
    def command(folder: str) -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise NotAvailable("no node: install Node.js 20 or newer")
        web = REPOSITORY / "web"
        if not (web / "node_modules" / "playwright-core").is_dir():
            raise NotAvailable("no packages in web/: run npm ci there")
        return [node, str(web / "scores.mjs"), engine, folder]

    return Client(name, command)


def _complaint(stderr: str) -> str:
    """The line in which a program says why it failed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("error: ")] or lines
    return named[-1].removeprefix("error: ")[:_MOST_LETTERS] if named else ""


C_PROGRAM = Client("C program", _c_command)
MEDIAPIPE = _python_client("MediaPipe Tasks", "mediapipe", "mediapipe_client.py")
OLD_RUNTIME = _python_client("tflite-runtime", "tflite-runtime", "tflite_runtime_client.py")
TASKS_VISION = _browser_client("Chromium, MediaPipe", "mediapipe")
LITERT_JS = _browser_client("Chromium, LiteRT.js", "litert")
CLIENTS = (C_PROGRAM, MEDIAPIPE, TASKS_VISION, LITERT_JS, OLD_RUNTIME)
