"""Export of trained networks as ONNX bundles, and import of their weights."""
