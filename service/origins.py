"""Origins: whose pages may read this service's answers."""

from __future__ import annotations

import re

# RFC 6454, section 6.2: no path, no slash at the end, the default port left out or not.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


def parse_list(value: object) -> object:
    """Origins between commas, as a browser states them; what is no string is left as it is.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, str):
        return value
    origins = tuple(each.strip().lower() for each in value.split(",") if each.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin} is no origin: write scheme, host and port alone, as https://example.org"
            )
    return origins
