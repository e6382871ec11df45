"""ONNX models: loading, sessions, dynamic batching."""
