"""Results of many files: failures are values, so that one file does not end the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasteprint_client.answers import Embedding, build_embedding
from tasteprint_client.errors import BadAnswer, Problem, TasteprintError, refusal
from tasteprint_client.files import AudioFile, Source

CUT_SHORT = "the answer ended before this file's line"


@dataclass(frozen=True, eq=False)
class Result:
    """The embedding of a file, or why there is none.

    Attributes
    ----------
    file : as it was given
    error : of the service, the connection, or of reading the file; None beside an embedding
    """

    file: Source
    embedding: Embedding | None = None
    error: TasteprintError | OSError | None = None


class BatchReader:
    """Reads the NDJSON lines of `/embed/batch`, and knows which files are still unanswered."""

    def __init__(self, sources: Sequence[Source], request_id: str | None = None) -> None:
        self._waiting = dict(enumerate(sources))
        self.request_id = request_id

    def read(self, line: str) -> Result:
        """The result in a line.

        Raises
        ------
        Refused
            A problem of the whole body.
        BadAnswer
        """
        try:
            content = json.loads(line)
            index = content.get("index")
            problem = content.get("problem")
            if problem is not None:
                error = refusal(Problem.from_json(problem), self.request_id, None)
                if index is None:
                    raise error
                return Result(self._waiting.pop(index), error=error)
            embedding = build_embedding(content["answer"], self.request_id)
            return Result(self._waiting.pop(index), embedding)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadAnswer(f"a line of the batch cannot be read: {line[:200]}", 200) from error

    def fail_rest(self, error: TasteprintError) -> Iterator[Result]:
        """The error as result of each file that has no line."""
        for index in sorted(self._waiting):
            yield Result(self._waiting.pop(index), error=error)


def as_parts(files: Sequence[AudioFile]) -> list[tuple[str, tuple[str, bytes]]]:
    """Parts of a multipart form, in order."""
    return [("file", (file.name or "audio", file.content)) for file in files]
