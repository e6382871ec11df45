"""The service: audio in, the models' answers out, over HTTP."""

import models as models  # before onnxruntime: see there
