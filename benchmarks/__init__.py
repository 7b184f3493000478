"""Measurements of exported .tflite files; run from the repository root."""
