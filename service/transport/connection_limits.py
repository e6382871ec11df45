"""Connection limits: number of connections, time to send headers, time to read an answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from service.settings import Settings
from service.transport.lingering_close import LingerLimits

# Open files other than those of connections: models, decoders and their pipes, Redis.
OTHER_FILES = 512
# A connection and the memfd of its upload.
FILES_PER_CONNECTION = 2

log = logging.getLogger("tasteprint")


@dataclass
class ConnectionLimits:
    """Connection limits, and the idle connections.

    Attributes
    ----------
    head_timeout_s : time limit to send a request's headers
    write_timeout_s : time limit for a client that does not read its answer
    linger : what a client may still send after an early answer
    idle : transports of connections without a request in progress, the longest idle first; beyond
        `max_connections` the first connection is closed
    """

    max_connections: int
    head_timeout_s: float
    write_timeout_s: float
    linger: LingerLimits = field(default_factory=LingerLimits)
    idle: dict[asyncio.Transport, None] = field(default_factory=dict)


def connection_limits(settings: Settings) -> ConnectionLimits:
    limit = max_connections(settings)
    if limit < settings.max_connections:
        log.warning(
            "at most %d connections instead of %d: the system limits open files (ulimit -n)",
            limit,
            settings.max_connections,
        )
    # A file of twice the maximum size still gets its 413.
    linger = LingerLimits(total_bytes=max(LingerLimits.total_bytes, 2 * settings.max_upload_bytes))
    return ConnectionLimits(limit, settings.head_timeout_s, settings.upload_timeout_s, linger)


def max_connections(settings: Settings) -> int:
    """The setting, or fewer where the system's limit of open files is lower."""
    requested = settings.max_connections
    return min(requested, (raise_open_files(requested) - OTHER_FILES) // FILES_PER_CONNECTION)


def raise_open_files(connections: int) -> int:
    """Raise the process's limit of open files to what that many connections need.

    Returns
    -------
    The limit of open files afterwards.
    """
    needed = FILES_PER_CONNECTION * connections + OTHER_FILES
    try:
        import resource
    except ImportError:  # no such limit on this system
        return needed
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return max(soft, reachable)
