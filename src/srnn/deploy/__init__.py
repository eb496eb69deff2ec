"""Trained networks in use: streaming, the service, C, ONNX and NIR."""
