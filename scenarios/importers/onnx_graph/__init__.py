"""ONNX models: their shapes, and their nodes as ops."""
