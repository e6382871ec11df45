"""Client of a Tasteprint service: songs in, NumPy vectors out."""

from tasteprint_client.answers import (
    Analysed,
    Analysis,
    Audio,
    Catalogue,
    Classification,
    Embedding,
    Hit,
    Label,
    Model,
    Patches,
    Regression,
    Similar,
    Vectors,
    Window,
)
from tasteprint_client.async_client import AsyncClient
from tasteprint_client.batch import Result
from tasteprint_client.client import Client
from tasteprint_client.errors import (
    AudioRefused,
    BadAnswer,
    ConnectionFailed,
    MixedSpaces,
    NotFound,
    OtherSpace,
    Problem,
    Refused,
    TasteprintError,
    Unauthorized,
    Unavailable,
)
from tasteprint_client.retry import Retry

__all__ = [
    "Analysed",
    "Analysis",
    "AsyncClient",
    "Audio",
    "AudioRefused",
    "BadAnswer",
    "Catalogue",
    "Classification",
    "Client",
    "ConnectionFailed",
    "Embedding",
    "Hit",
    "Label",
    "MixedSpaces",
    "Model",
    "NotFound",
    "OtherSpace",
    "Patches",
    "Problem",
    "Refused",
    "Regression",
    "Result",
    "Retry",
    "Similar",
    "TasteprintError",
    "Unauthorized",
    "Unavailable",
    "Vectors",
    "Window",
]
