"""A real nginx before a service, with the default `proxy_pass`: HTTP/1.0, `Connection: close`."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis_server import free_port
from tests.running import exit_status, wait_until

CONFIGURATION = """
daemon off;
master_process off;  # else the workers are another user, who may not write to the folder
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; }}
    }}
}}
"""


@contextmanager
def nginx_running(folder: Path, upstream: str) -> Iterator[str]:
    """An nginx that passes all requests to `upstream`; yields its URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    port, path, log = free_port(), folder / "nginx.conf", folder / "nginx.log"
    path.write_text(CONFIGURATION.format(folder=folder, port=port, upstream=upstream))
    command = [program, "-c", str(path), "-e", "stderr", "-p", str(folder)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(
            lambda: process.poll() is not None or _listens(port), f"nginx listens; see {log}"
        )
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        exit_status(process, log)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
