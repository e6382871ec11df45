"""Keys are read, counted and compared, and nowhere shown."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

from service import api_keys
from service.errors import CannotStart
from service.middleware.auth import read_keys
from service.settings import Settings
from tests.running import exit_status, launch

FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"


def settings(**given: object) -> Settings:
    return Settings.model_validate(given)


def test_only_hashes_are_kept_and_those_are_not_shown() -> None:
    given = settings(api_keys=f"{FIRST}, {SECOND},")
    assert given.api_keys == (sha256(FIRST.encode()).digest(), sha256(SECOND.encode()).digest())
    for shown in (repr(given), str(given)):
        assert "api_keys=" not in shown
        assert FIRST not in shown
    assert FIRST not in str(given.model_dump())


def test_a_password_of_redis_is_not_shown() -> None:
    assert "secret" not in repr(settings(redis_url="redis://:secret@127.0.0.1/0"))


def test_each_key_is_accepted_and_similar_strings_are_not() -> None:
    held = api_keys.parse([FIRST, SECOND])
    assert api_keys.holds(held, FIRST.encode())
    assert api_keys.holds(held, SECOND.encode())
    near = (FIRST[:-1], FIRST + "0", FIRST.upper(), "", held[0].hex())
    assert not any(api_keys.holds(held, key.encode()) for key in near)
    assert not api_keys.holds((), FIRST.encode())


def test_a_key_given_twice_is_one() -> None:
    assert len(api_keys.parse([FIRST, FIRST])) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("short-secret", "key 1 has 12 characters and needs at least 16"),
        (f"{FIRST},short-secret", "key 2 has 12 characters"),
        ("", "has no key"),
        (" , ", "has no key"),
        ("short-secret with a blank", "key 1 has characters that a header cannot carry"),
        ("short-secret-umläut-0123", "key 1 has characters that a header cannot carry"),
    ],
)
def test_a_bad_key_is_refused_without_being_shown(given: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(api_keys=given)
    assert reason in str(refused.value)
    assert "short-secret" not in str(refused.value)
    assert FIRST not in str(refused.value)


def test_the_keys_of_a_file_count_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{FIRST}\n\n{SECOND}\n")
    assert read_keys(settings(api_keys_file=path)) == api_keys.parse([FIRST, SECOND])
    assert read_keys(settings(api_keys=SECOND, api_keys_file=path)) == api_keys.parse(
        [SECOND, FIRST]
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "has no key"),
        (b"short-secret\n", "key 1 has 12"),
        (b"short-secret\xff", "it is not a text file"),
    ],
)
def test_a_bad_file_of_keys_is_refused_without_its_content(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CannotStart, match=f"TASTEPRINT_API_KEYS_FILE: .*{reason}") as refused:
        read_keys(settings(api_keys_file=path))
    assert "secret" not in str(refused.value)


def test_a_bad_key_is_reported_by_the_settings_name_at_startup(tmp_path: Path) -> None:
    process = launch(tmp_path / "log", api_keys="short-secret")
    assert exit_status(process, tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert "TASTEPRINT_API_KEYS: " in log
    assert "needs at least 16" in log
    assert "short-secret" not in log
    assert "Traceback" not in log
