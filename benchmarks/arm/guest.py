"""Runs a .tflite on a fixed input: under emulation, and on the host to compare.

    python guest.py MODEL RESULT.npz

Needs NumPy and LiteRT only, since nothing else is installed for the emulated
Python. Prints {"partitions": N} or {"error": "..."}.
"""

import json
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MARK = 0x4C540000  # As in plugin.c.
_SEED = 0
_WARM_UP_INVOKES = 2


def mark(number: int) -> None:
    """Starts (even) or ends (odd) a counting; does nothing where none listens."""
    try:
        os.getpgid(MARK + number)
    except OSError:
        pass


def fixed_input(details: dict) -> np.ndarray:
    """Pixels for an input tensor: the same on every machine.

    Args:
        details: from `Interpreter.get_input_details`.

    Raises:
        ValueError: a shape or a type that no image has.
    """
    shape, dtype = tuple(details["shape"]), np.dtype(details["dtype"])
    if -1 in details.get("shape_signature", shape):
        signature = tuple(int(side) for side in details["shape_signature"])
        raise ValueError(
            "the input must have a fixed shape; convert the model with one. "
            f"Received: {signature}"
        )
    if dtype.name not in ("float32", "uint8", "int8"):
        raise ValueError(
            f"the input must be float32, uint8 or int8; convert it so. Received: {dtype.name}"
        )
    pixels = np.random.default_rng(_SEED).integers(0, 256, shape, np.uint8)
    return (pixels ^ 0x80).view(np.int8) if dtype.name == "int8" else pixels.astype(dtype)


def run(model_path: str, result_path: str) -> dict:
    """Runs the model and writes its outputs.

    Args:
        model_path: of the .tflite.
        result_path: .npz, an array per output.

    Raises:
        ValueError, RuntimeError: the interpreter cannot run the model.
    """
    interpreter = Interpreter(model_path=model_path, num_threads=1)
    for details in interpreter.get_input_details():
        fixed_input(details)  # A side that is not fixed shows before anything is allocated.
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], fixed_input(details))
    for _ in range(_WARM_UP_INVOKES):
        interpreter.invoke()
    for _ in range(_WARM_UP_INVOKES + 1):  # What the marks cost alone; the last one counts.
        mark(0)
        mark(1)
    mark(2)
    interpreter.invoke()
    mark(3)
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    np.savez(result_path, *outputs)
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    return {"partitions": names.count("DELEGATE")}


def main(argv: list[str]) -> int:
    """Runs; returns the exit code."""
    try:
        report = run(argv[0], argv[1])
    except (ValueError, RuntimeError, OSError) as error:
        report = {"error": " ".join(str(error).split())}
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
