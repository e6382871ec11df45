"""The tables of docs/settings.md, drawn from `Settings`: `python -m docs.settings_table`."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings

PAGE = Path(__file__).parent / "settings.md"
BEGIN, END = "<!-- drawn by python -m docs.settings_table -->", "<!-- end of the drawn part -->"
# Title of each table and the first of its settings, in the order of `Settings`.
TABLES = {
    "Server": "host",
    "API keys and browsers": "api_keys",
    "Models and inference": "models_dir",
    "Uploads and capacity": "max_upload_bytes",
    "Decoding": "decode_workers",
    "Cache": "redis_url",
}
# Defaults that are computed at startup.
COMPUTED = {"models_dir": "`models`", "max_in_flight": "6 per core", "decode_workers": "1 per core"}


def tables() -> str:
    titles = {first: title for title, first in TABLES.items()}
    lines = [BEGIN]
    for name, field in Settings.model_fields.items():
        if name in titles:
            lines += [
                f"\n## {titles[name]}\n",
                "| setting | default | description |",
                "|---|---|---|",
            ]
        lines.append(
            f"| `{PREFIX}{name.upper()}` | {_default(name, field)} | {field.description} |"
        )
    return "\n".join([*lines, "", END])


def _default(name: str, field: FieldInfo) -> str:
    if name in COMPUTED:
        return COMPUTED[name]
    if field.default is None or field.default == ():
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def page() -> str:
    """The page with its tables redrawn."""
    drawn = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(drawn, lambda _: tables(), PAGE.read_text(), flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page())
