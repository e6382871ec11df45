"""Offline: listening logs and audio in, a verified bundle out."""

import models as models  # before onnxruntime: see there
