"""A multipart body, its parts' bytes passed on as they arrive and nothing else kept.

Source: RFC 7578 and RFC 2046, section 5.1.1. A delimiter is sought with `bytes.find`, whose time
grows with the length alone, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from service.errors import BadMultipart, NoFile, TooManyFiles, WrongField

FIELD = "file"
MAX_BOUNDARY_BYTES = 70
# What stands before, between and after the parts' contents, each time.
MAX_HEAD_BYTES = 8 << 10
MAX_NAME_LETTERS = 255
# Parsed in time that grows faster than it does.
MAX_DISPOSITION_BYTES = 4 << 10

Sink = Callable[[memoryview], None]


@dataclass(frozen=True)
class PartHead:
    """What a part's headers say of it, as the client wrote it."""

    field: str
    filename: str


class Multipart:
    """Feed it the body's chunks; it calls `begin` for each part, feeds its bytes to the sink that
    this returns, and calls `end` after the last of them.
    """

    def __init__(
        self, boundary: bytes, begin: Callable[[PartHead], Sink], end: Callable[[], None]
    ) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise BadMultipart(
                "the boundary is too long" if boundary else "the content type names no boundary",
                value=len(boundary),
                limit=MAX_BOUNDARY_BYTES,
            )
        self._delimiter = b"\r\n--" + boundary
        self._begin, self._end = begin, end
        self._sink: Sink | None = None
        self._part_is_over = False
        # The first delimiter has no line before it.
        self._held = b"\r\n"
        self._step: Callable[[], bool] = self._skip_preamble
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes of the body.

        Raises
        ------
        BadMultipart, and what `begin`, `end` and the sinks raise
        """
        for _ in self.parts(chunk):
            pass

    def parts(self, chunk: bytes) -> Iterator[None]:
        """`feed`, a part at a time: stops at the end of each until it is asked to go on."""
        self._held = self._joined(chunk)
        while self._step():
            if self._part_is_over:
                self._part_is_over = False
                yield

    def _joined(self, chunk: bytes) -> bytes:
        """What is held and the chunk. Where no delimiter begins in what is held of a part, only
        that is copied, and passed on.
        """
        edge = len(self._delimiter) - 1
        if self._step == self._read_content and len(chunk) > edge >= len(self._held):
            seam = self._held + chunk[:edge]
            if seam.find(self._delimiter) < 0:
                self._pass_on(len(self._held))
                return chunk
        return self._held + chunk if self._held else chunk

    def _skip_preamble(self) -> bool:
        at = self._held.find(self._delimiter)
        if at < 0:
            self._check_head("does not begin with its boundary")
            return False
        self._held = self._held[at + len(self._delimiter) :]
        self._step = self._after_delimiter
        return True

    def _after_delimiter(self) -> bool:
        """`--` ends the body; else the line's end begins a part."""
        if self._held.startswith(b"--"):
            self.ended = True
            self._step = self._skip_epilogue
            return True
        at = self._held.find(b"\r\n")
        if at < 0:
            self._check_head("has a boundary line without an end")
            return False
        if self._held[:at].strip(b" \t"):
            raise BadMultipart("the multipart body has more on a boundary's line")
        self._held = self._held[at:]  # with the line's end: a part may have no headers
        self._step = self._read_head
        return True

    def _read_head(self) -> bool:
        at = self._held.find(b"\r\n\r\n")
        if at < 0 or at > MAX_HEAD_BYTES:
            self._check_head("has part headers without an end")
            return False
        self._sink = self._begin(read_head(self._held[:at]))
        # The two that begin the content may also begin a delimiter: an empty part.
        self._held = self._held[at + 2 :]
        self._step = self._read_first
        return True

    def _read_first(self) -> bool:
        if len(self._held) < len(self._delimiter):
            return False
        if not self._held.startswith(self._delimiter):
            self._held = self._held[2:]
        self._step = self._read_content
        return True

    def _read_content(self) -> bool:
        assert self._sink is not None
        at = self._held.find(self._delimiter)
        if at >= 0:
            self._pass_on(at)
            self._end()
            self._held = self._held[len(self._delimiter) :]
            self._step = self._after_delimiter
            self._part_is_over = True
            return True
        # The last bytes may be the beginning of a delimiter.
        self._pass_on(max(0, len(self._held) - len(self._delimiter) + 1))
        return False

    def _pass_on(self, count: int) -> None:
        assert self._sink is not None
        if count:
            self._sink(memoryview(self._held)[:count])
            self._held = self._held[count:]

    def _skip_epilogue(self) -> bool:
        self._check_head("goes on after its end")
        return False

    def _check_head(self, what: str) -> None:
        if len(self._held) > MAX_HEAD_BYTES:
            raise BadMultipart(
                f"the multipart body {what}", value=len(self._held), limit=MAX_HEAD_BYTES
            )


def read_head(head: bytes) -> PartHead:
    """The names in a part's `Content-Disposition`, each cut to 255 letters."""
    options: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if line and not colon:
            raise BadMultipart("the multipart body has a part header without a colon")
        if name.strip().lower() == b"content-disposition":
            if len(value) > MAX_DISPOSITION_BYTES:
                raise BadMultipart(
                    "the multipart body has a part with an endless Content-Disposition",
                    value=len(value),
                    limit=MAX_DISPOSITION_BYTES,
                )
            _, options = parse_options_header(value.strip())
    return PartHead(_text(options, b"name"), _text(options, b"filename"))


def _text(options: dict[bytes, bytes], name: bytes) -> str:
    return options.get(name, b"").decode("utf-8", "replace")[:MAX_NAME_LETTERS]


class FilePart:
    """The one part `file` of a body; its name in the client's folders is of no interest."""

    def __init__(self, boundary: bytes, sink: Sink) -> None:
        self._sink = sink
        self._parts = 0
        self._body = Multipart(boundary, self._begin, lambda: None)
        self.feed = self._body.feed

    def _begin(self, head: PartHead) -> Sink:
        check_field(head)
        self._parts += 1
        if self._parts > 1:
            raise TooManyFiles("the request holds more than one file", value=2, limit=1)
        return self._sink

    def finish(self) -> None:
        """Check, after the last chunk, that one whole file was there."""
        check_ended(self._body)
        if not self._parts:
            raise NoFile("the multipart body holds no part")


def check_field(head: PartHead) -> None:
    if head.field != FIELD:
        name = head.field[:64]
        raise WrongField(f"the field is named {name!r}", value=name, limit=FIELD)


def check_ended(body: Multipart) -> None:
    if not body.ended:
        raise BadMultipart("the multipart body ends before its closing boundary")
