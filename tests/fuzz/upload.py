"""`python -m tests.fuzz.upload`: the upload parser under Atheris, which looks for new paths in it.

Every option of libFuzzer's is taken (`-max_total_time=60 -seed=0`); what it keeps lies under
`runs/fuzz/upload`. An input is how the body is cut, its content type, and the body.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "service.transport.form_fields",
        "service.transport.multipart",
        "service.transport.single_upload",
        "python_multipart",
    ]
):
    from service.transport.form_fields import SingleFileParser
    from service.transport.multipart import MAX_SECTION_BYTES
    from service.transport.single_upload import receive_upload

from starlette.requests import Request

from service.errors import BadUpload, Busy
from service.settings import Settings
from service.transport.upload import UploadBudget

MAX_UPLOAD = 4096
SETTINGS = Settings(max_upload_bytes=MAX_UPLOAD, max_held_bytes=1 << 20)
TYPES = (
    "multipart/form-data; boundary=b",
    'multipart/form-data; boundary="a b"',
    "multipart/form-data; boundary=" + "-" * 70,
    "multipart/form-data",
    "audio/mpeg",
    "",
)
CORPUS = Path("runs/fuzz/upload")
HEAD = b'Content-Disposition: form-data; name="file"; filename="x"\r\n'
SEEDS = (
    b"\x00\x00--b\r\n" + HEAD + b"\r\nRIFF\r\n--b--\r\n",
    b"\x07\x00--b\r\n" + HEAD + b"Content-Type: audio/wav\r\n\r\n\r\n--\r\n--b\r\n--b--",
    b"\x03\x00\r\n--b\r\nContent-Disposition: form-data; name=other\r\n\r\nx\r\n--b--\r\n",
    b"\x01\x01--a b\r\n" + HEAD + b"\r\n\r\n--a c\r\n--a b--\r\n",
    b"\x09\x02" + b"-" * 72 + b"\r\n" + HEAD + b"\r\n" + b"-" * 200 + b"\r\n" + b"-" * 74 + b"\r\n",
    b"\x05\x04ID3",
)


def cut(body: bytes, size: int) -> Iterator[bytes]:
    """The body in chunks; 0 leaves it whole."""
    size = size or max(1, len(body))
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def received(kind: str, chunks: list[bytes]) -> tuple[str, str]:
    """What the service makes of a request: the error's name, or nothing; and the file's digest."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    queue = iter(messages)

    async def receive() -> dict[str, object]:
        return next(queue)

    headers = [(b"transfer-encoding", b"chunked")]
    headers += [(b"content-type", kind.encode())] if kind else []
    scope = {"type": "http", "method": "POST", "path": "/embed", "headers": headers}
    budget = UploadBudget(SETTINGS.max_held_bytes)
    try:
        upload = await receive_upload(Request(scope, receive), SETTINGS, budget)
    except (BadUpload, Busy) as error:
        assert budget.held_bytes == 0, "bytes of a refused upload are held"
        return type(error).__name__, ""
    digest = upload.sha256
    assert 0 < upload.size <= MAX_UPLOAD
    upload.close()
    assert budget.held_bytes == 0
    return "", digest


def parsed(boundary: bytes, chunks: list[bytes]) -> tuple[str, bytes]:
    """What the parser alone makes of a body, watched for what it keeps."""
    found = bytearray()
    try:
        part = SingleFileParser(boundary, found.extend)
        for chunk in chunks:
            part.feed(chunk)
            assert len(part._body._buffer) <= MAX_SECTION_BYTES
        part.finish()
    except BadUpload as error:
        return type(error).__name__, bytes(found)
    return "", bytes(found)


logging.disable()  # python-multipart says a line about each bad body
LOOP = asyncio.new_event_loop()


def try_one(data: bytes) -> None:
    """An input of the fuzzer's: however the body is cut, the answer is the same."""
    if len(data) < 2:
        return
    kind, body = TYPES[data[1] % len(TYPES)], data[2:]
    whole, chunks = list(cut(body, 0)), list(cut(body, data[0]))
    at_once, cut_up = parsed(b"b", whole), parsed(b"b", chunks)
    first = LOOP.run_until_complete(received(kind, whole))
    then = LOOP.run_until_complete(received(kind, chunks))
    # python-multipart skips a preamble that begins with a line's end up to the next hyphen, within
    # a chunk: one that is cut may be refused. What is taken is the same file.
    preamble = body[:1] in {b"\r", b"\n"} and "BadMultipart" in {
        at_once[0],
        cut_up[0],
        first[0],
        then[0],
    }
    assert preamble or (at_once, first) == (cut_up, then)


def main() -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (CORPUS / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, f"-artifact_prefix={CORPUS.parent}/upload-", str(CORPUS)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
