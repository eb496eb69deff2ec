"""Trained networks in other forms: C (which ``deploy.c`` writes), ONNX, NIR; and back where the
format allows it."""
