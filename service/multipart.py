"""The one part `file` of a multipart body, passed on as it arrives."""

from __future__ import annotations

from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import BadMultipart, NoFile, TooManyFiles, WrongField

FIELD = "file"
# Boundaries and part headers, which Content-Length counts and the file does not.
MAX_BESIDE_BYTES = 16 << 10


class FilePart:
    """Feed it the body's chunks; it feeds the file's bytes to `sink`, and nothing else is kept.

    The file's name in the part's headers is never looked at.
    """

    def __init__(self, boundary: bytes, sink: Callable[[bytes], None]) -> None:
        if not boundary:
            raise BadMultipart("the content type names no boundary")
        self._sink = sink
        self._parts, self._beside = 0, 0
        self._header, self._value, self._disposition = b"", b"", b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadMultipart(f"the multipart body is malformed: {error}") from error

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body.

        Raises
        ------
        BadMultipart, WrongField, TooManyFiles, and what the sink raises
        """
        self._beside += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadMultipart(f"the multipart body is malformed: {error}") from error
        if self._beside > MAX_BESIDE_BYTES:
            raise BadMultipart(
                "the multipart body holds too much beside the file",
                value=self._beside,
                limit=MAX_BESIDE_BYTES,
            )

    def finish(self) -> None:
        """Check, after the last chunk, that one whole file was there."""
        if not self._ended:
            raise BadMultipart("the multipart body ends before its closing boundary")
        if not self._parts:
            raise NoFile("the multipart body holds no part")

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")[:64]
        if name != FIELD:
            raise WrongField(f"the field is named {name!r}", value=name, limit=FIELD)
        self._parts += 1
        if self._parts > 1:
            raise TooManyFiles("the request holds more than one file", value=2, limit=1)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._beside -= end - start
        self._sink(data[start:end])

    def _on_end(self) -> None:
        self._ended = True
