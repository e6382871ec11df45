"""The cache returns what was stored under a key; a damaged or foreign entry is a miss."""

from __future__ import annotations

import asyncio

from models.audio.window_choice import WindowChoice
from service.cache.memory import MemoryCache, cache_key, count_entries
from service.cache.redis import decode, encode
from service.schemas.responses import AudioHeard, CachedAnswer, WindowUsed

COMPUTED = CachedAnswer(
    outputs={"embedding": [0.1, -0.2], "features": [1.5]},
    window=WindowUsed(starts=[0.0], seconds=30.0, how="start"),
    audio=AudioHeard(sha256="0" * 64, duration=1.0, codec="mp3", rate=44_100, channels=2),
)


def answer(n_numbers: int) -> CachedAnswer:
    return COMPUTED.model_copy(update={"outputs": {"embedding": [0.5], "level": [0.5] * n_numbers}})


def test_the_least_recently_used_entry_goes() -> None:
    async def scenario() -> None:
        cache = MemoryCache(2, ttl_s=60)
        await cache.put("a", COMPUTED)
        await cache.put("b", COMPUTED)
        await cache.get("a")
        await cache.put("c", COMPUTED)
        kept = [key for key in "abc" if await cache.get(key) is not None]
        assert kept == ["a", "c"]

    asyncio.run(scenario())


def test_an_entry_expires() -> None:
    async def scenario() -> None:
        cache = MemoryCache(2, ttl_s=-1)
        await cache.put("a", COMPUTED)
        assert await cache.get("a") is None

    asyncio.run(scenario())


def test_a_cache_of_zero_entries_stores_nothing() -> None:
    async def scenario() -> None:
        cache = MemoryCache(0, ttl_s=60)
        await cache.put("a", COMPUTED)
        assert await cache.get("a") is None

    asyncio.run(scenario())


def test_an_answer_counts_once_for_each_400_numbers_begun() -> None:
    sizes = (0, 398, 399, 400, 799, 800, 2043)
    assert [count_entries(answer(n)) for n in sizes] == [1, 1, 1, 2, 2, 3, 6]
    assert count_entries(COMPUTED.model_copy(update={"outputs": {}})) == 1


def test_a_large_answer_evicts_as_many_as_it_counts_for() -> None:
    async def scenario() -> None:
        cache = MemoryCache(5, ttl_s=60)
        for key in "abcde":
            await cache.put(key, COMPUTED)
        await cache.get("a")
        await cache.put("large", answer(1000))  # counts as 3
        kept = [key for key in (*"abcde", "large") if await cache.get(key) is not None]
        assert kept == ["a", "e", "large"]
        for key in "fgh":  # in the end the large one is the oldest, and makes room for three
            await cache.put(key, COMPUTED)
        kept = [key for key in (*"aefgh", "large") if await cache.get(key) is not None]
        assert kept == ["f", "g", "h"]

    asyncio.run(scenario())


def test_an_answer_put_again_is_counted_once() -> None:
    async def scenario() -> None:
        cache = MemoryCache(4, ttl_s=60)
        await cache.put("a", COMPUTED)
        for n_numbers in (1000, 1000, 0, 1000):
            await cache.put("b", answer(n_numbers))
        assert await cache.get("a") is not None
        assert await cache.get("b") == answer(1000)

    asyncio.run(scenario())


def test_an_expired_answer_leaves_its_room() -> None:
    async def scenario() -> None:
        cache = MemoryCache(4, ttl_s=-1)
        await cache.put("large", answer(1000))
        assert await cache.get("large") is None
        cache._ttl_s = 60
        for key in "abcd":
            await cache.put(key, COMPUTED)
        assert [await cache.get(key) is not None for key in "abcd"] == [True] * 4

    asyncio.run(scenario())


def test_an_answer_beyond_the_limit_is_not_stored_and_evicts_nothing() -> None:
    async def scenario() -> None:
        cache = MemoryCache(2, ttl_s=60)
        await cache.put("a", COMPUTED)
        await cache.put("large", answer(1000))
        assert await cache.get("large") is None
        assert await cache.get("a") is not None

    asyncio.run(scenario())


def test_a_value_survives_redis() -> None:
    assert decode("key", encode("key", COMPUTED)) == COMPUTED


def test_a_damaged_value_is_a_miss() -> None:
    stored = encode("key", COMPUTED)
    flipped = (bytes([*stored[:i], stored[i] ^ 1, *stored[i + 1 :]]) for i in range(len(stored)))
    for damaged in (b"", b"x", stored[:-1], stored[1:], stored + b" ", *flipped):
        assert decode("key", damaged) is None


def test_the_value_of_another_key_is_a_miss() -> None:
    assert decode("other", encode("key", COMPUTED)) is None


def test_a_value_of_another_layout_is_a_miss() -> None:
    assert decode("key", encode("key", COMPUTED.window)) is None
    stored = encode("key", COMPUTED)
    assert decode("key", stored.replace(b"tp4:", b"tp3:")) is None


def test_offsets_that_differ_have_keys_that_differ() -> None:
    windows = ("123456.789", "123456.788", "123456", "all", "middle", "start", "0")
    keys = {cache_key("audio", str(WindowChoice.parse(window)), "digest") for window in windows}
    assert len(keys) == len(windows)
    assert str(WindowChoice.parse("30")) == str(WindowChoice.parse("30.0"))
