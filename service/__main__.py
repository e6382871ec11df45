"""Command `tasteprint-serve`: starts the service with the settings of `TASTEPRINT_*`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from service.errors import CannotStart

if TYPE_CHECKING:
    from pydantic import ValidationError

    from service.inference.model import Model
    from service.pipeline.pipeline import Pipeline

BACKLOG = 1024


def main() -> None:
    """Run the service with the settings of `TASTEPRINT_*`."""
    if len(sys.argv) > 1:
        _answer(sys.argv[1:])
    # Imported here, since help and bad arguments need none of these imports, which take seconds.
    from pydantic import ValidationError

    from models.errors import TasteprintError
    from models.malloc import keep_freed_memory
    from service.app import create_app
    from service.middleware.auth import check_exposure
    from service.observability.logs import configure
    from service.server import Server
    from service.settings import from_environment

    try:
        settings = from_environment()
        configure(settings)
        keep_freed_memory()
        server_socket = listen(settings.host, settings.port)
        check_exposure(server_socket, settings)
        app = create_app(settings)
    except ValidationError as error:
        sys.exit(f"tasteprint-serve: bad settings\n{_explain(error)}")
    except TasteprintError as error:
        sys.exit(f"tasteprint-serve: {error.title}: {error}")
    # uvicorn raises the signal again after its shutdown; by default the status would not be 0.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Server(app, settings, banner).run(sockets=[server_socket])
    # Everything is closed. The interpreter's finalization takes several times as long as the
    # shutdown, only to free memory, and would wait for the thread of an inference run that hangs.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _answer(arguments: list[str]) -> NoReturn:
    """Print the help text, or refuse other arguments."""
    if arguments in (["--help"], ["-h"]):
        from service.help import describe_settings

        print(describe_settings(), end="")
        sys.exit()
    sys.exit(
        "tasteprint-serve takes no arguments: its settings are environment variables, as "
        "TASTEPRINT_PORT=8080; --help and docs/settings.md list them"
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, before the slow part of the startup.

    Raises
    ------
    CannotStart
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY (40 ms per answer) only for an explicit protocol.
    server_socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server_socket.bind((host, port))
        server_socket.listen(BACKLOG)
    except OSError as error:
        server_socket.close()
        raise CannotStart(
            f"cannot listen on {host}:{port} ({error.strerror})",
            remedy="stop the program that uses it, or set TASTEPRINT_PORT (0 takes a free port)",
        ) from error
    return server_socket


def banner(server_socket: socket.socket, pipeline: Pipeline) -> str:
    """The startup banner: address, models with their devices, cache and decoders."""
    host, port = server_socket.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    models = pipeline.models
    lines = [f"Tasteprint listens on http://{where} (docs at /docs)"]
    lines += [f"  model    {describe(model)}" for model in models.loaded.values()]
    later = [bundle.card.name for bundle in models.usable if bundle.card.name not in models.loaded]
    lines += [f"  later    {', '.join(later)}: loaded when first requested"] if later else []
    lines += [f"  refused  {name}: {reason}" for name, reason in models.refused.items()]
    lines.append(f"  cache    {pipeline.cache.describe()}")
    lines.append(f"  decoders {pipeline.settings.decode_workers} processes")
    return "\n".join(lines)


def describe(model: Model) -> str:
    """A model's name, version, digest and task, its device and its precision."""
    card, width = model.card, model.card.output_shape("features")[0]
    runs = f"on {model.provider} in {model.precision}"
    runs += f" ({model.devices} devices)" if model.devices > 1 else ""
    if model.encoder is not None:
        runs = f"a head on {model.encoder.card.name}, {runs}"
    task = f"{card.kind} of {card.task}"
    return f"{card.name} {card.version} {model.bundle.digest[:12]}, F = {width}, {task}, {runs}"


def _explain(error: ValidationError) -> str:
    return "\n".join(
        f"  TASTEPRINT_{'_'.join(map(str, detail['loc'])).upper()}: {detail['msg']}"
        for detail in error.errors()
    )


if __name__ == "__main__":
    main()
