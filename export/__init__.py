"""From a trained Keras model to a verified .tflite."""
