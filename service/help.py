"""Text of `tasteprint-serve --help`: how the service is configured, and every setting."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings

WIDTH = 80
HEAD = f"""\
usage: tasteprint-serve [--help]

Serve the models over HTTP. There are no options: each setting is an environment
variable, for example

    {PREFIX}PORT=8080 {PREFIX}LOG_FORMAT=json tasteprint-serve

The API is described at /docs of the running service.

settings, with their defaults:
"""


def describe_settings() -> str:
    """Usage, and the name, default and meaning of each setting."""
    return HEAD + "".join(_describe(name, field) for name, field in Settings.model_fields.items())


def _describe(name: str, field: FieldInfo) -> str:
    default = _format(field.get_default(call_default_factory=True, validated_data={}))
    indent = " " * 6
    meaning = textwrap.fill(
        (field.description or "").replace("`", ""),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
    )
    return f"  {PREFIX}{name.upper()}={default}\n{meaning}\n"


def _format(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, ()) else str(default)
