"""What a .tflite file is made of, and who will refuse it."""
