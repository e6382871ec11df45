"""Embeds songs by a service, through its Python client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from service.cli.errors import BadArgument
from service.cli.problems import UNREACHABLE, UNREADABLE
from service.cli.songs import Song
from service.cli.table import OK, Row, Source

if TYPE_CHECKING:
    from tasteprint_client import AsyncClient, Embedding

CONCURRENCY = 8


class RemoteEngine:
    """A service at a URL.

    The client waits for a service that is busy or starts anew. Whatever of the source changes
    while the run goes on, such as another precision after a restart, ends it.
    """

    concurrency = CONCURRENCY

    def __init__(self, client: AsyncClient, source: Source) -> None:
        self._client, self.source = client, source

    @classmethod
    async def open(
        cls, url: str, api_key: str | None, model: str | None, window: str, *, features: bool
    ) -> Self:
        """Ask the service for the model.

        Raises
        ------
        BadArgument
            If the client is not installed, the service does not answer, or has no such encoder.
        """
        try:
            from tasteprint_client import AsyncClient, TasteprintError
        except ImportError as error:
            raise BadArgument(
                "--url needs the Python client",
                value=url,
                remedy="python -m pip install ./client, from the project's folder",
            ) from error
        try:
            client = AsyncClient(url, api_key=api_key)
            listed = await client.models()
        except (TasteprintError, ValueError) as error:
            raise BadArgument(str(error), value=url) from error
        models, name = listed["models"], model or listed["default"]
        found = [entry for entry in models if entry["name"] == name and entry["kind"] == "encoder"]
        if not found:
            names = ", ".join(entry["name"] for entry in models if entry["kind"] == "encoder")
            raise BadArgument(f"{url} has no encoder {name!r}", value=name, limit=names)
        return cls(client, _source_of(found[0], window, features=features))

    async def embed(self, song: Song) -> Row:
        from tasteprint_client import Refused, TasteprintError

        try:
            answer = await self._client.embed(
                song.path,
                model=self.source.model,
                window=self.source.window,
                features=bool(self.source.features),
            )
        except OSError as error:
            return Row(song, UNREADABLE, error.strerror or str(error))
        except Refused as error:
            return Row(song, error.type, str(error))
        except TasteprintError as error:
            return Row(song, UNREACHABLE, str(error))
        self._check_source(answer)
        return Row(
            song,
            OK,
            "; ".join(answer.audio.notes),
            answer.audio.sha256,
            answer.audio.duration,
            answer.audio.codec,
            answer.embedding.tolist(),
            None if answer.features is None else answer.features.tolist(),
        )

    def _check_source(self, answer: Embedding) -> None:
        used = answer.model
        own = (self.source.digest, self.source.precision)
        if (used.digest, used.precision) != own:
            raise BadArgument(
                f"the service answers with {used.name} {used.digest[:12]} in {used.precision} now, "
                f"and the run began with {self.source.describe()}",
                value=used.digest,
                remedy="start the run anew with another --out",
            )

    async def close(self) -> None:
        await self._client.close()


def _source_of(entry: dict[str, Any], window: str, *, features: bool) -> Source:
    shapes = {tensor["name"]: tensor["shape"] for tensor in entry["card"]["outputs"]}
    return Source(
        model=entry["name"],
        version=entry["version"],
        digest=entry["digest"],
        precision=entry["precision"] or "float32",
        space=entry["space"],
        window=window,
        embedding=shapes["embedding"][0],
        features=shapes["features"][0] if features else 0,
    )
