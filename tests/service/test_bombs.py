"""Files that ask for much are answered within the limits, and leave nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from service.decoding.memfd import UploadMemfd
from service.decoding.pool import DecodePool
from service.errors import DecodeTimeout
from service.settings import Settings
from tests.bombs import BOMBS
from tests.bombs.containers import webm_of_many_tags
from tests.bombs.streams import HOURS
from tests.bundles import AUDIO
from tests.running import DEADLINE_S, Service, wait_until
from tests.service.decoding.test_pool import decodes

MiB = 1 << 20
# A request; generous, as this machine may be busy. Nothing here takes a decoder a second alone.
LIMIT_S = 20.0
MEMORY_SLACK = 100 * MiB
# Files that are as they should be, however odd.
FINE = {
    "flac_of_hours": "flac",
    "wav_of_chunks": "pcm_16",
    "aiff_of_chunks": "pcm_16",
    "mp3_with_cover": "mp3",
    "mp3_with_many_tags": "mp3",
    "flac_with_cover": "flac",
    "flac_of_blocks": "flac",
    "flac_with_comments_beyond_its_end": "flac",
    "m4a_with_cover": "aac",
    "m4a of nested trak": "aac",
    "webm_of_unknown_sizes": "opus",
    "webm_of_recursive_tags": "opus",
    "ogg_with_comments_beyond_its_end": "opus",
}
# What the others are answered with; where two are named, versions of the libraries differ.
REFUSED = {
    "opus_of_hours": {"silent-audio"},
    "channels_64": {"unsupported-layout"},
    "mp3_with_tag_beyond_its_end": {"truncated-audio"},
    "mp3_of_small_frames": {"silent-audio"},
    "mp3_of_false_starts": {"truncated-audio"},
    "m4a_of_empty_samples": {"corrupt-audio"},
    "m4a_of_many_chunks": {"corrupt-audio"},
    "webm_of_recursive_segments": {"not-audio"},
    "webm_of_tracks": {"no-audio-stream"},
    "ogg_of_streams": {"truncated-audio"},
    "ogg_of_streams_and_a_good_one": {"truncated-audio"},
    "caf of packets beyond its end": {"silent-audio"},
    "wav of 65,535 channels": {"no-audio-stream", "unsupported-layout"},
    "wav of 1 Hz": {"unsupported-layout"},
    "wav of 0 Hz": {"truncated-audio"},
    "wav of 2 GHz": {"unsupported-layout"},
    "wav of 4 GHz": {"truncated-audio", "unsupported-layout"},
    "flac of 1,048,575 Hz": {"unsupported-layout"},
    "flac of 1 Hz": {"unsupported-layout"},
    "caf of 65,536 channels": {"no-audio-stream", "unsupported-layout"},
    "caf of 4,294,967,295 channels": {"not-audio"},
    "m4a of nested udta": {"truncated-audio"},
    "m4a of nested moov": {"not-audio"},
    "m4a of sizes beyond its end": {"truncated-audio"},
    "m4a of times beyond its end": {"not-audio"},
    "m4a of a time that lasts": {"truncated-audio"},
    "m4a of places beyond its end": {"no-audio-stream"},
}


def test_every_bomb_has_its_answer_and_leaks_nothing(service: Service, short_clip: Path) -> None:
    """One after the other, each followed by a good request."""
    service.embedding(short_clip)
    decoders, files = service.decoders(), service.open_files()
    memory, spooled = service.memory_bytes(), service.held_bytes()
    for number, (name, made) in enumerate(BOMBS.items()):
        response = service.http.post("/embed", files={"file": ("x", made())}, timeout=LIMIT_S)
        answer = response.json()
        if name in FINE:
            assert response.status_code == 200, (name, response.text)
            assert answer["audio"]["codec"] == FINE[name]
        else:
            assert answer["type"].removeprefix("urn:tasteprint:") in REFUSED[name], (name, answer)
            assert response.status_code == (415 if answer["title"] == "Not an audio file" else 422)
        good = service.embedding(short_clip, window=f"0.{number:03}1")
        assert not good["cached"]
    assert BOMBS.keys() == FINE.keys() | REFUSED.keys()
    assert service.decoders() == decoders  # none of them cost a decoder its life
    wait_until(lambda: service.open_files() <= files, "their files are closed")
    wait_until(lambda: service.held_bytes() <= spooled, "their bytes are given back")
    assert service.memory_bytes() < memory + MEMORY_SLACK


def test_hours_of_sound_are_not_decoded_for_all_windows(service: Service) -> None:
    made = BOMBS["flac_of_hours"]()
    assert len(made) < MiB // 8
    assert service.embedding(made, window="start")["audio"]["duration"] == pytest.approx(
        HOURS * 3600, abs=2
    )
    response = service.embed(made, window="all")
    assert response.status_code == 422
    assert response.json()["type"] == "urn:tasteprint:audio-too-long"


@pytest.mark.parametrize(
    ("timeout_s", "ended"), [(0.5, "decoding took over"), (DEADLINE_S, "more CPU time than")]
)
def test_tags_that_take_too_long_cost_their_own_request(
    short_clip: Path, timeout_s: float, ended: str
) -> None:
    """A minute of reading in a file of four megabytes, ended by the service's clock.

    Or by the kernel's: to open a file it may not take as long as to decode it.
    """

    async def scenario() -> None:
        pool = DecodePool(Settings(decode_workers=1, decode_timeout_s=timeout_s))
        await pool.start()
        with closing(UploadMemfd()) as spool:
            spool.write(webm_of_many_tags())
            with pytest.raises(DecodeTimeout, match=ended):
                await pool.decode(spool.path, AUDIO, "middle")
        try:
            await decodes(pool, short_clip)
        finally:
            await pool.close()

    asyncio.run(scenario())
