"""Multipart parser: equal to the standard library's, independent of chunk sizes, bounded."""

from __future__ import annotations

import email
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadMultipart, BadUpload
from service.transport.form_fields import SingleFileParser
from service.transport.multipart import MAX_SECTION_BYTES

DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="x"\r\n'
# A file's bytes with what parsers stumble over in it.
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r\n", b"\r\n--", b"--b", b"\r\n--b", b"\r\n--b-", b"\n", b"\r", b"-" * 80]),
)
FILES = st.lists(PIECES, max_size=12).map(b"".join)
BOUNDARIES = st.text("abcXYZ019'()+_,-./:=?", min_size=1, max_size=70).map(str.encode)
BODIES = st.lists(
    st.one_of(PIECES, st.sampled_from([b"--b\r\n", b"--b--\r\n", DISPOSITION, b"\r\n", b": "])),
    max_size=12,
).map(b"".join)
SEEDED = settings(derandomize=True, deadline=None, max_examples=150, database=None)


def body(content: bytes, boundary: bytes = b"b", headers: bytes = DISPOSITION) -> bytes:
    edge = b"--" + boundary
    return b"%b\r\n%b\r\n%b\r\n%b--\r\n" % (edge, headers, content, edge)


def parse(boundary: bytes, *chunks: bytes) -> bytes:
    found = bytearray()
    part = SingleFileParser(boundary, found.extend)
    for chunk in chunks:
        part.feed(chunk)
    part.finish()
    return bytes(found)


def cut(content: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(content), *(place % (len(content) + 1) for place in places)})
    return [content[start:end] for start, end in pairwise(edges)]


def by_the_standard_library(boundary: bytes, sent: bytes) -> bytes:
    head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    parts = email.message_from_bytes(head + sent).get_payload()
    assert isinstance(parts, list)
    (part,) = parts
    assert isinstance(part, email.message.Message)
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


@SEEDED
@given(FILES, BOUNDARIES, st.lists(st.integers(0, 2000), max_size=6))
def test_a_file_comes_out_as_it_went_in_however_it_was_cut(
    content: bytes, boundary: bytes, places: list[int]
) -> None:
    if b"\r\n--" + boundary in content or content.startswith(b"--" + boundary):
        return  # not a boundary that a client would choose for it
    sent = body(content, boundary)
    assert parse(boundary, sent) == content
    assert parse(boundary, *cut(sent, places)) == content
    if b"\n--" + boundary not in content and b"\r--" + boundary not in content:
        # The standard library's parser also takes lines that end in one character.
        assert by_the_standard_library(boundary, sent) == content


@SEEDED
@given(BODIES, st.lists(st.integers(0, 500), max_size=4))
def test_any_body_is_a_file_or_an_error_of_the_service(sent: bytes, places: list[int]) -> None:
    try:
        found = parse(b"b", *cut(sent, places))
    except BadUpload:
        return
    assert found in sent


def feed_until_refused(part: SingleFileParser, chunks: list[bytes]) -> list[int]:
    """Bytes of headers that were kept after each chunk that was taken."""
    kept = [0]
    for chunk in chunks:
        try:
            part.feed(chunk)
        except BadMultipart:
            return kept
        kept.append(len(part._body._buffer))
    raise AssertionError("all of it was taken")


@pytest.mark.parametrize(
    "endless",
    [b"\r\n", b"--b\r\nX: ", b"--b\r\n" + b"x", b"--b\r\n" + DISPOSITION + b"X-A: b\r\n"],
    ids=["line ends", "a value", "a name", "headers"],
)
def test_what_is_no_file_is_bounded_and_not_kept(endless: bytes) -> None:
    part = SingleFileParser(b"b", bytearray().extend)
    kept = feed_until_refused(part, [endless, *[endless[-1:] * 100] * 1_000])
    assert max(kept) <= MAX_SECTION_BYTES
    assert len(kept) < 4 + MAX_SECTION_BYTES // 100


def test_bytes_after_the_end_are_bounded() -> None:
    part = SingleFileParser(b"b", bytearray().extend)
    part.feed(body(b"RIFF"))
    assert len(feed_until_refused(part, [b"\r\nmore" * 10] * 1_000)) <= 1 + MAX_SECTION_BYTES // 60


@pytest.mark.parametrize(
    "unit",
    [b"\r\n--" + b"-" * 68, b"\r\n-", b"\r\n--" + b"-" * 70 + b"x", b"\r", b"-", b"\r\n\r\n--"],
)
def test_time_grows_with_the_size_of_the_body_and_not_faster(unit: bytes) -> None:
    """Files that nearly hold the boundary, over and over."""
    boundary = b"-" * 69 + b"y"

    def seconds(size: int) -> float:
        sent = body(unit * (size // len(unit)), boundary)
        took = []
        for _ in range(3):
            began = time.process_time()
            parse(boundary, *cut(sent, list(range(0, len(sent), 65_536))))
            took.append(time.process_time() - began)
        return min(took)

    small, large = seconds(1 << 17), seconds(1 << 20)
    assert large < 8 * small * 2.5 + 0.02  # quadratic would be 64 times
