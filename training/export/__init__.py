"""Trained networks to ONNX bundles, and back."""
