"""Classifies images with tflite-runtime 2.14; runs in an environment of its own.

    python tflite_runtime_client.py MODEL IMAGES.npy

IMAGES is uint8 (images, height, width, 3), RGB. Prints JSON: its version and the
scores (images, classes).
"""

import json
import sys
from importlib import metadata

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main() -> None:
    """Classifies all images."""
    interpreter = Interpreter(sys.argv[1])
    runner = interpreter.get_signature_runner("serving_default")
    dtype = runner.get_input_details()["image"]["dtype"]
    scores = [
        runner(image=pixels[np.newaxis].astype(dtype))["probabilities"][0].tolist()
        for pixels in np.load(sys.argv[2])
    ]
    version = f"tflite-runtime {metadata.version('tflite-runtime')}"
    print(json.dumps({"version": version, "scores": scores}))


if __name__ == "__main__":
    main()
