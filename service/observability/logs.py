"""Structured logging: text or JSON formatter, with the request ID on every line."""

from __future__ import annotations

import json
import logging
import re
import time
from functools import lru_cache
from typing import Any

from service.observability.context import CURRENT
from service.settings import Settings

ACCESS = "tasteprint.access"
# Fields that the message of an access-log line already contains.
IN_MESSAGE = {"method", "route", "status"}
PLAIN = re.compile(r"[!#-<>-~]+")  # printable, without spaces, quotes and equals signs


def configure(settings: Settings) -> None:
    """Send the logs of this process, including uvicorn's and warnings, to stderr."""
    # No format shows thread and process, so they need not be looked up for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("tasteprint").setLevel(settings.log_level.upper())
    logging.getLogger(ACCESS).setLevel("INFO" if settings.access_log else "WARNING")


def announce(text: str, settings: Settings) -> None:
    """Print the startup banner on stdout, at any log level."""
    if settings.log_format == "json":
        record = logging.LogRecord("tasteprint", logging.INFO, "", 0, text, None, None)
        text = JsonFormatter().format(record)
    print(text, flush=True)


class TextFormatter(logging.Formatter):
    """Text formatter: time, level, message, and `name=value` for each field."""

    def format(self, record: logging.LogRecord) -> str:
        # Line ends are escaped, so that a value from a client cannot forge a log line.
        message = record.getMessage().strip().replace("\r", "\\r").replace("\n", "\\n")
        words = [time_of(record), record.levelname, message]
        for name, value in fields_of(record).items():
            if name not in IN_MESSAGE:
                words.append(f"{name}={_plain(value)}")
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """JSON formatter: one object per line; a traceback is the field `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def time_of(record: logging.LogRecord) -> str:
    """Time of the record: UTC, ISO 8601, to the millisecond."""
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(1)
def _second(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The record's `extra={"fields": {…}}`, and the ID of the current request."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    context = CURRENT.get()
    return fields if context is None else fields | {"request_id": context.request_id}


def _plain(value: object) -> str:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else json.dumps(value)
    # `json.dumps` gives the same text for a number, but takes five times as long.
    return str(value) if type(value) in (int, float) else json.dumps(value)
