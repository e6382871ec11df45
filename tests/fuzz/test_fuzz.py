"""A few of the mutants, each time: `make fuzz` tries them by the ten thousand."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from service.decoding.pool import DecodePool
from service.settings import Settings
from tests.fuzz.corpus import corpus
from tests.fuzz.decoding import Findings, judge, open_files, watch_decoders
from tests.fuzz.mutate import MUTATIONS, Mutant, mutant, with_checksums
from tests.running import Service, resident_bytes, wait_until

SEED, DECODED, POSTED = 7, 300, 60
MiB = 1 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A chord in every format; `make fuzz` takes recordings where it finds them."""
    return corpus(tmp_path_factory.mktemp("corpus"), originals=None)


def test_a_mutant_is_the_same_for_its_seed_and_number(files: dict[str, bytes]) -> None:
    made = [mutant(files, SEED, number) for number in range(30)]
    assert made == [mutant(files, SEED, number) for number in range(30)]
    assert made[0] != mutant(files, SEED + 1, 0)
    assert len({mutant.content for mutant in made}) > 25


def test_every_mutation_changes_files_and_checksums_are_those_of_the_format(
    files: dict[str, bytes],
) -> None:
    done = {name for number in range(200) for name in mutant(files, SEED, number).done}
    assert done == {*MUTATIONS, "checksums"}
    good = files["ogg:chord"]
    assert with_checksums(good) == good
    assert with_checksums(good[:22] + bytes(4) + good[26:]) == good


def test_damaged_files_come_to_answers_and_leave_nothing(
    files: dict[str, bytes], short_clip: Path
) -> None:
    findings = Findings()

    async def scenario() -> None:
        pool = DecodePool(Settings(decode_workers=1))
        await pool.start()
        held, memory = [""], 0
        try:
            for number in range(DECODED):
                made = mutant(files, SEED, number)
                await judge(pool, made, number, findings, good=short_clip)
                if number == DECODED // 3:
                    held, memory = open_files(), resident_bytes(os.getpid())
            watch_decoders(findings)
            assert open_files() == held
            assert resident_bytes(os.getpid()) - memory < 60 * MiB
        finally:
            await pool.close()

    asyncio.run(scenario())
    total = findings.total()
    assert total.total() == DECODED
    assert not findings.unknown()
    assert not findings.unsaid
    assert {"ok", "TruncatedAudio", "CorruptAudio", "NotAudio"} <= total.keys()


def test_over_http_damaged_files_never_are_the_services_fault(
    service: Service, files: dict[str, bytes], short_clip: Path
) -> None:
    service.embedding(short_clip)
    before, spooled = service.open_files(), service.held_bytes()
    answers = [_post(service, mutant(files, SEED + 1, number), number) for number in range(POSTED)]
    assert set(answers) <= {200, 415, 422}
    assert {200, 415, 422} <= set(answers)
    wait_until(lambda: service.open_files() <= before, "their files are closed")
    wait_until(lambda: service.held_bytes() <= spooled, "their bytes are given back")
    assert "Traceback" not in service.log()


def _post(service: Service, made: Mutant, number: int) -> int:
    window = ("middle", "start", "all", "0.5")[number % 4]
    response = service.embed(made.content, window=window)
    if response.status_code != 200:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["detail"]
        assert problem["remedy"]
        assert "/proc/" not in response.text
    return response.status_code
