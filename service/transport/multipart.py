"""Streaming multipart parser: passes each part's bytes on as they arrive, and buffers no part.

Source: RFC 7578 and RFC 2046, section 5.1.1. Delimiters are searched for with `bytes.find`, whose
time is linear in the length for any bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

from service.client_remedies import ANY, ClientRemedies
from service.errors import BadMultipart, UnsupportedBody

MAX_BOUNDARY_BYTES = 70
# Maximum size of a preamble, a boundary line, a part's headers or an epilogue.
MAX_SECTION_BYTES = 8 << 10
MAX_NAME_CHARS = 255
# Parsing time grows faster than the length.
MAX_DISPOSITION_BYTES = 4 << 10
# Encodings of a part that change no byte (RFC 2045, section 6.2).
PLAIN = {"", "7bit", "8bit", "binary", "identity"}
QUOTED = re.compile(rb'(?<!\*)=\s*"(?:[^"\\]|\\.)*"')
# `filename*=UTF-8''na%C3%AFve.mp3` (RFC 8187), as some clients send for names beyond ASCII.
EXTENDED = re.compile(rb";\s*(name|filename)\*\s*=\s*\"?([\w-]+)'[^';]*'([^;\"\s]*)", re.IGNORECASE)

Sink = Callable[[memoryview], None]


@dataclass(frozen=True)
class PartHeaders:
    """Field name and file name in the headers of a part, as the client sent them.

    Attributes
    ----------
    filename : empty without one, as of a field that is no file
    """

    field: str
    filename: str


class MultipartParser:
    """Streaming multipart parser.

    It calls `begin_part` for each part, feeds the part's bytes to the sink that `begin_part`
    returns, and calls `end_part` after the last of these bytes.

    Attributes
    ----------
    ended : whether the closing boundary was read
    """

    def __init__(
        self,
        boundary: bytes,
        begin_part: Callable[[PartHeaders], Sink],
        end_part: Callable[[], None],
        remedies: ClientRemedies = ANY,
    ) -> None:
        self._remedy = f"do not set the header Content-Type yourself: {remedies.boundary}"
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise BadMultipart(
                "the boundary is too long" if boundary else "the content type has no boundary",
                value=len(boundary),
                limit=MAX_BOUNDARY_BYTES,
                remedy=self._remedy,
            )
        self._delimiter = b"\r\n--" + boundary
        self._begin_part, self._end_part = begin_part, end_part
        self._sink: Sink | None = None
        self._part_ended = False
        # The first delimiter has no line end before it, so one is added.
        self._buffer = b"\r\n"
        self._step: Callable[[], bool] = self._skip_preamble
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body.

        Raises
        ------
        BadMultipart, and what `begin_part`, `end_part` and the sinks raise
        """
        for _ in self.parts(chunk):
            pass

    def parts(self, chunk: bytes) -> Iterator[None]:
        """Parse the next bytes of the body; yields at the end of each part before parsing on."""
        self._buffer = self._join(chunk)
        while self._step():
            if self._part_ended:
                self._part_ended = False
                yield

    def _join(self, chunk: bytes) -> bytes:
        """Join the buffer and the chunk.

        If no delimiter begins in the buffer, only the buffer is passed on, since joining both would
        copy the whole chunk.
        """
        edge = len(self._delimiter) - 1
        if self._step == self._read_content and len(chunk) > edge >= len(self._buffer):
            seam = self._buffer + chunk[:edge]
            if seam.find(self._delimiter) < 0:
                self._pass_on(len(self._buffer))
                return chunk
        return self._buffer + chunk if self._buffer else chunk

    def _skip_preamble(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            self._check_section("does not begin with its boundary", self._remedy)
            return False
        self._buffer = self._buffer[at + len(self._delimiter) :]
        self._step = self._after_delimiter
        return True

    def _after_delimiter(self) -> bool:
        """`--` ends the body; the end of the line begins a part."""
        if self._buffer.startswith(b"--"):
            self.ended = True
            self._step = self._skip_epilogue
            return True
        at = self._buffer.find(b"\r\n")
        if at < 0:
            self._check_section("has a boundary line that does not end")
            return False
        if self._buffer[:at].strip(b" \t"):
            raise BadMultipart("the multipart body has a boundary line with other text")
        self._buffer = self._buffer[at:]  # keeps the line's end: a part may have no headers
        self._step = self._read_headers
        return True

    def _read_headers(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0 or at > MAX_SECTION_BYTES:
            self._check_section("has part headers that do not end")
            return False
        self._sink = self._begin_part(read_headers(self._buffer[:at]))
        # The CRLF before the content may also begin a delimiter: an empty part.
        self._buffer = self._buffer[at + 2 :]
        self._step = self._read_first
        return True

    def _read_first(self) -> bool:
        if len(self._buffer) < len(self._delimiter):
            return False
        if not self._buffer.startswith(self._delimiter):
            self._buffer = self._buffer[2:]
        self._step = self._read_content
        return True

    def _read_content(self) -> bool:
        assert self._sink is not None
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            self._pass_on(at)
            self._end_part()
            self._buffer = self._buffer[len(self._delimiter) :]
            self._step = self._after_delimiter
            self._part_ended = True
            return True
        # The last bytes may be the start of a delimiter.
        self._pass_on(max(0, len(self._buffer) - len(self._delimiter) + 1))
        return False

    def _pass_on(self, count: int) -> None:
        assert self._sink is not None
        if count:
            self._sink(memoryview(self._buffer)[:count])
            self._buffer = self._buffer[count:]

    def _skip_epilogue(self) -> bool:
        self._check_section("continues after its closing boundary")
        return False

    def _check_section(self, defect: str, remedy: str | None = None) -> None:
        if len(self._buffer) > MAX_SECTION_BYTES:
            raise BadMultipart(
                f"the multipart body {defect}",
                value=len(self._buffer),
                limit=MAX_SECTION_BYTES,
                remedy=remedy,
            )

    def check_complete(self) -> None:
        """Check, after the last chunk, that the closing boundary was read.

        Raises
        ------
        BadMultipart
        """
        if self._step == self._skip_preamble:
            raise BadMultipart(
                "the multipart body does not have the boundary of its content type",
                remedy=self._remedy,
            )
        if not self.ended:
            raise BadMultipart("the multipart body ends before its closing boundary")


def read_headers(headers: bytes) -> PartHeaders:
    """Parse a part's headers; names are truncated to 255 characters.

    Raises
    ------
    BadMultipart
    UnsupportedBody
        If the part's bytes are encoded.
    """
    options: dict[bytes, bytes] = {}
    for line in headers.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if line and not colon:
            raise BadMultipart("the multipart body has a part header without a colon")
        name = name.strip().lower()
        if name in {b"content-transfer-encoding", b"content-encoding"}:
            check_encoding(name.decode(), value.strip().decode("latin-1"))
        if name == b"content-disposition":
            if len(value) > MAX_DISPOSITION_BYTES:
                raise BadMultipart(
                    "the multipart body has a Content-Disposition that is too long",
                    value=len(value),
                    limit=MAX_DISPOSITION_BYTES,
                )
            _, options = parse_options_header(value.strip())
            options |= _extended_options(value)
    return PartHeaders(_text(options, b"name"), _text(options, b"filename"))


def _text(options: dict[bytes, bytes], name: bytes) -> str:
    return options.get(name, b"").decode("utf-8", "replace")[:MAX_NAME_CHARS]


def _extended_options(disposition: bytes) -> dict[bytes, bytes]:
    """Options with a character set and percent encoding, as UTF-8."""
    options = {}
    for name, charset, value in EXTENDED.findall(QUOTED.sub(b"=", disposition)):
        try:
            text = unquote_to_bytes(value).decode(charset.decode(), "replace")
        except LookupError:  # an unknown character set: the plain name counts
            continue
        options[name.lower()] = text.encode()
    return options


def check_encoding(header: str, encoding: str) -> None:
    """Check that bytes are sent as they are, and not compressed or as text.

    Raises
    ------
    UnsupportedBody
    """
    if encoding.lower() not in PLAIN:
        encoding = encoding[:64]
        name = header.title()
        raise UnsupportedBody(
            f"the bytes of the file are encoded: {name}: {encoding}",
            value=encoding,
            limit="identity",
            remedy=f"send the file's bytes as they are, without {name}",
        )
