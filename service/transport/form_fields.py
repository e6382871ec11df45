"""Form fields: which parts of a form are files, and what is wrong with those that are not."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.errors import TasteprintError
from service.client_remedies import ANY, ClientRemedies
from service.errors import NoFile, TooManyFiles, WrongField
from service.schemas.queries import PARAMETERS
from service.transport.multipart import MultipartParser, PartHeaders, Sink

FIELD = "file"
# No audio file is as small, and few names of files are longer.
MAX_TEXT_BYTES = 255


@dataclass
class ShortText:
    """Keeps the bytes of a part or body that may be a short text in the place of a file."""

    content: bytearray = field(default_factory=bytearray)

    @property
    def is_long(self) -> bool:
        return len(self.content) > MAX_TEXT_BYTES

    def write(self, data: bytes | memoryview) -> None:
        if not self.is_long:
            self.content += data[: MAX_TEXT_BYTES + 1]

    def text(self) -> str:
        """The text; empty where the bytes are too many, or none."""
        try:
            text = "" if self.is_long else self.content.decode()
        except UnicodeDecodeError:
            return ""
        return text if text.isprintable() else ""


@dataclass(frozen=True)
class FormErrors:
    """Errors of the parts of a form, with the remedies of the client that sent it."""

    remedies: ClientRemedies = ANY
    path: str = "/embed"

    def wrong_field(self, name: str, text: str = "") -> WrongField:
        """The error of a part of another name; a parameter of the routes has its own remedy."""
        name, remedy = name[:64], f"name the multipart field `{FIELD}`: {self.remedies.file}"
        detail = f"the field is named {name!r}"
        if name in PARAMETERS:
            detail = f"the parameter {name!r} was sent as a field of the form"
            remedy = self.remedies.of_parameter(self.path, name, text[:64])
        return WrongField(detail, value=name, limit=FIELD, remedy=remedy)

    def text_for_file(self, received: ShortText) -> TasteprintError | None:
        """The error of a name of a file in the place of its bytes; None for other bytes."""
        text = received.text()
        if not text:
            return None
        return NoFile(
            f"in the place of the file are {len(received.content)} bytes of text: {text[:64]!r}",
            value=text[:64],
            remedy=self.remedies.content,
        )


class SingleFileParser:
    """Parser of a body with exactly one part, `file`, whose bytes are fed to a sink."""

    def __init__(self, boundary: bytes, sink: Sink, errors: FormErrors | None = None) -> None:
        self._sink, self._errors = sink, errors or FormErrors()
        self._n_parts = 0
        self._body = MultipartParser(
            boundary, self._begin_part, self._end_part, self._errors.remedies
        )
        self._part = PartHeaders("", "")
        self._text = ShortText()
        self.feed = self._body.feed

    def _begin_part(self, headers: PartHeaders) -> Sink:
        self._part, self._text = headers, ShortText()
        if headers.field != FIELD:
            if headers.filename:
                raise self._errors.wrong_field(headers.field)
            return self._keep_field
        self._n_parts += 1
        if self._n_parts > 1:
            raise TooManyFiles("the request has more than one file", value=2, limit=1)
        return self._sink if headers.filename else self._pass_on

    def _keep_field(self, data: memoryview) -> None:
        self._text.write(data)
        if self._text.is_long:
            raise self._errors.wrong_field(self._part.field)

    def _pass_on(self, data: memoryview) -> None:
        self._text.write(data)
        self._sink(data)

    def _end_part(self) -> None:
        if self._part.field != FIELD:
            raise self._errors.wrong_field(self._part.field, self._text.text())
        if not self._part.filename and (error := self._errors.text_for_file(self._text)):
            raise error

    def finish(self) -> None:
        """Check, after the last chunk, that the body is complete and holds a file.

        Raises
        ------
        BadMultipart, NoFile
        """
        self._body.check_complete()
        if not self._n_parts:
            raise NoFile("the multipart body has no part", remedy=self._errors.remedies.file)
