"""Classifies images with MediaPipe Tasks; runs in MediaPipe's own environment.

    python mediapipe_client.py MODEL IMAGES.npy

IMAGES is uint8 (images, height, width, 3), RGB. Prints JSON: MediaPipe's version, the
labels in the order of the outputs, the scores (images, classes), and the name of the
output. A task that failed can block the process for ever, so callers set a timeout.
"""

import json
import sys
from importlib import metadata

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision


def main() -> None:
    """Classifies all images."""
    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=sys.argv[1]), max_results=-1
    )
    scores, labels, head = [], [], ""
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels in np.load(sys.argv[2]):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            (result,) = classifier.classify(image).classifications
            categories = sorted(result.categories, key=lambda category: category.index)
            labels = [category.category_name for category in categories]
            scores.append([category.score for category in categories])
            head = result.head_name
    version = f"mediapipe {metadata.version('mediapipe')}"
    print(json.dumps({"version": version, "labels": labels, "scores": scores, "head": head}))


if __name__ == "__main__":
    main()
