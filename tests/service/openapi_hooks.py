"""Schemathesis hooks: real audio files, and offsets within them.

Only where it means to send what the document allows; what it spoils on purpose stays spoilt.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any

import schemathesis
import soundfile
from schemathesis.hooks import HookContext

from tests.sounds import golden


@cache
def audio() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, golden(1.0, 4_000, 1), 4_000, format="WAV", subtype="PCM_U8")
    return buffer.getvalue()


def is_meant_well(case: schemathesis.Case[Any]) -> bool:
    return case.meta is not None and not case.meta.generation.mode.is_negative


@schemathesis.hook
def before_call(context: HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Put audio in the place of made-up bytes, and a seed where neither of two kinds is given."""
    if case.path in ("/similar", "/listeners") and case.method.upper() == "GET":
        query = case.query or {}
        if is_meant_well(case) and not (query.get("track_id") or query.get("sha256")):
            case.query = {**query, "track_id": ["a track"]}
        return
    if case.method.upper() != "POST" or not is_meant_well(case):
        return
    # In the place of its body, which is not touched: else it would take it for a spoilt one.
    if case.media_type == "multipart/form-data":
        kwargs["files"] = [("file", audio())]
    else:
        kwargs["data"] = audio()
    window = str((case.query or {}).get("window", ""))
    if re.fullmatch(r"[0-9.]+", window):
        case.query["window"] = "0.5"
