"""`tasteprint-serve` prints a banner, exits cleanly, and explains why it cannot start."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from models.bundle import read
from service.__main__ import listen
from service.settings import MODELS_DIR
from tests.running import exit_status, is_decoder, launch, running, wait_until


def test_the_banner_says_what_is_really_used(tmp_path: Path) -> None:
    with running(tmp_path / "log", decode_workers=1) as service:
        bundle = read(MODELS_DIR / "cf-estimator")
        width = bundle.card.output_shape("features")[0]
        provider = service.http.get("/models/cf-estimator").json()["provider"]
        banner = service.log()
        assert f"listens on {service.url}" in banner
        assert f"cf-estimator {bundle.card.version} {bundle.digest[:12]}, F = {width}" in banner
        assert f"on {provider}" in banner
        assert "cache    in the process" in banner


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_decoders(tmp_path: Path, how: signal.Signals) -> None:
    with running(tmp_path / "log", decode_workers=2) as service:
        decoders = service.decoders()
        assert len(decoders) == 2
        service.http.close()
        service.process.send_signal(how)
        service.wait()
        assert not any(is_decoder(pid) for pid in decoders)
        assert "Traceback" not in service.log()


def test_decoders_end_when_the_service_is_killed(tmp_path: Path) -> None:
    with running(tmp_path / "log", decode_workers=2) as service:
        decoders = service.decoders()
        service.process.kill()
        service.wait()
        wait_until(lambda: not any(is_decoder(pid) for pid in decoders), "the decoders end")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = launch(tmp_path / "log", port=port)
        assert exit_status(process, tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert f"cannot listen on 127.0.0.1:{port}" in log
    assert "TASTEPRINT_PORT" in log
    assert "Traceback" not in log


def test_answers_are_not_delayed_by_nagle() -> None:
    """asyncio sets TCP_NODELAY only on connections of a listener that names its protocol."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "high"),
        ("redis_url", "http://x"),
        ("decode_workers", "0"),
        ("max_held_bytes", "5"),
    ],
)
def test_a_bad_setting_is_reported_by_its_name(tmp_path: Path, name: str, value: str) -> None:
    process = launch(tmp_path / "log", **{name: value})
    assert exit_status(process, tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert f"TASTEPRINT_{name.upper()}: " in log
    assert "Traceback" not in log


def test_a_misspelt_setting_is_reported_with_the_nearest(tmp_path: Path) -> None:
    process = launch(tmp_path / "log", max_upload=5)
    assert exit_status(process, tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert "no such setting: TASTEPRINT_MAX_UPLOAD; " in log
    assert "TASTEPRINT_MAX_UPLOAD_BYTES" in log
    assert "Traceback" not in log
