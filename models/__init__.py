"""What training and service share: the bundles, their schema, and how audio becomes their input."""

import os

# onnxruntime's official builds tell Microsoft of every session, on Linux since 1.31, and keep a
# file in the temporary folder for it. They read this once, when they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
