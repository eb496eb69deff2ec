"""Trained networks in other forms: C, ONNX, NIR; and back where the format allows it."""
