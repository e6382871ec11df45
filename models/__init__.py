"""Shared by training and service: model bundles, their schema, and audio decoding."""

import os

# onnxruntime's official builds send telemetry of every session to Microsoft, on Linux since 1.31,
# and keep a file in the temporary folder for it. This variable is read once, at import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
