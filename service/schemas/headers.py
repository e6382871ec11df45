"""Names of the response headers that the service adds."""

from __future__ import annotations

REQUEST_ID = "X-Request-ID"
RETRY_AFTER = "Retry-After"
SERVER_TIMING = "Server-Timing"
WWW_AUTHENTICATE = "WWW-Authenticate"
# Headers of an answer in raw float32 (`Accept: application/octet-stream`).
OUTPUTS = "Tasteprint-Outputs"
MODEL = "Tasteprint-Model"
DIGEST = "Tasteprint-Digest"
PRECISION = "Tasteprint-Precision"
SPACE = "Tasteprint-Space"
AUDIO = "Tasteprint-Audio"
CACHED = "Tasteprint-Cached"
SHAPE = "Tasteprint-Shape"
WINDOW = "Tasteprint-Window"

# Access-Control-Expose-Headers: headers that pages of other origins may read.
EXPOSED = (
    RETRY_AFTER,
    SERVER_TIMING,
    WWW_AUTHENTICATE,
    REQUEST_ID,
    OUTPUTS,
    MODEL,
    DIGEST,
    PRECISION,
    SPACE,
    AUDIO,
    CACHED,
    SHAPE,
    WINDOW,
)
