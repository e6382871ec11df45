"""The client's answers are the service's, to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tasteprint_client import (
    AudioRefused,
    Embedding,
    MixedSpaces,
    NotFound,
    OtherSpace,
    Refused,
    Unauthorized,
)
from tasteprint_client.answers import build_embedding

from tests.bundles import small_models
from tests.client.either import Either
from tests.running import ROOT, Service, running

Make = Callable[..., Either]


def test_an_embedding_is_that_of_the_service(
    client_of: Make, service: Service, clips: dict[str, Path]
) -> None:
    expected = service.embedding(clips["mp3"])
    answer: Embedding = client_of(service.url)(lambda client: client.embed(clips["mp3"]))
    assert answer.embedding.dtype == np.float32
    assert answer.embedding.tolist() == np.array(expected["embedding"], np.float32).tolist()
    assert answer.features is not None
    assert answer.features.tolist() == np.array(expected["features"], np.float32).tolist()
    assert answer.model.space == expected["model"]["space"]
    assert answer.window.patches is not None
    assert answer.window.patches.starts == expected["window"]["patches"]["starts"]
    assert answer.audio.duration == expected["audio"]["duration"]
    assert answer.request_id


def test_vectors_as_bytes_are_those_of_json(
    client_of: Make, service: Service, clips: dict[str, Path]
) -> None:
    ask = client_of(service.url)
    answer = ask(lambda client: client.embed(clips["flac"], model="musicnn-msd", levels=True))
    vectors = ask(lambda client: client.vectors(clips["flac"], model="musicnn-msd", levels=True))
    expected = {"embedding": answer.embedding, "features": answer.features} | answer.levels
    assert len(expected) > 2
    assert vectors.outputs.keys() == expected.keys()
    for name, values in vectors.outputs.items():
        np.testing.assert_array_equal(values, expected[name])
    assert vectors.sha256 == answer.audio.sha256
    assert vectors.model.digest == answer.model.digest


@pytest.mark.parametrize("source", ["path", "text", "bytes", "open file"])
def test_a_song_may_be_a_path_bytes_or_an_open_file(
    client_of: Make, service: Service, short_clip: Path, source: str
) -> None:
    ask = client_of(service.url)
    if source == "open file":
        with short_clip.open("rb") as file:
            answer = ask(lambda client: client.embed(file, features=False))
    else:
        given = {"path": short_clip, "text": str(short_clip), "bytes": short_clip.read_bytes()}
        answer = ask(lambda client: client.embed(given[source], features=False))
    assert answer.audio.sha256 == hashlib.sha256(short_clip.read_bytes()).hexdigest()
    assert answer.features is None


def test_a_known_song_is_not_uploaded_again(
    client_of: Make, service: Service, clips: dict[str, Path]
) -> None:
    service.embed(clips["m4a"])
    sent: list[str] = []
    ask = client_of(service.url)

    def embed(client: Any) -> Any:
        async def note_async(request: httpx.Request) -> None:
            sent.append(f"{request.method} {request.url.path}")

        def note(request: httpx.Request) -> None:
            sent.append(f"{request.method} {request.url.path}")

        is_async = isinstance(client._http, httpx.AsyncClient)
        client._http.event_hooks = {"request": [note_async if is_async else note]}
        return client.embed(clips["m4a"])

    assert ask(embed).cached
    digest = hashlib.sha256(clips["m4a"].read_bytes()).hexdigest()
    assert sent == [f"GET /embeddings/{digest}"]


def test_a_cached_answer_is_found_by_its_digest(
    client_of: Make, service: Service, short_clip: Path
) -> None:
    expected = service.embedding(short_clip)
    ask = client_of(service.url)
    found = ask(lambda client: client.cached(expected["audio"]["sha256"]))
    assert found.embedding.tolist() == np.array(expected["embedding"], np.float32).tolist()
    assert ask(lambda client: client.cached("0" * 64)) is None


def test_labels_values_and_analysis(
    client_of: Make, service: Service, clips: dict[str, Path]
) -> None:
    ask = client_of(service.url)
    genre = ask(lambda client: client.classify("genre", clips["mp3"]))
    assert sum(label.probability for label in genre.labels) == pytest.approx(1)
    assert genre.labels[0].probability == max(label.probability for label in genre.labels)
    emotion = ask(lambda client: client.regress("emotion", clips["mp3"]))
    assert "calmness" in emotion.values
    analysis = ask(lambda client: client.analyze(clips["mp3"], models=["genre", "emotion"]))
    assert analysis.models["genre"].labels == genre.labels
    assert analysis.models["emotion"].values == emotion.values
    assert analysis.audio.sha256 == genre.audio.sha256


def test_models_and_limits(client_of: Make, service: Service) -> None:
    ask = client_of(service.url)
    names = {model["name"] for model in ask(lambda client: client.models())["models"]}
    assert {"cf-estimator", "genre"} <= names
    assert ask(lambda client: client.limits()) == service.http.get("/limits").json()


def test_a_refused_file_says_why_and_how_to_mend_it(client_of: Make, service: Service) -> None:
    with pytest.raises(AudioRefused, match="send MP3") as caught:
        client_of(service.url)(lambda client: client.embed(b"no audio at all"))
    assert caught.value.type == "urn:tasteprint:not-audio"
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)


def test_an_unknown_model_and_a_wrong_parameter_are_named(
    client_of: Make, service: Service, short_clip: Path
) -> None:
    ask = client_of(service.url)
    with pytest.raises(NotFound, match="nonesuch"):
        ask(lambda client: client.embed(short_clip, model="nonesuch"))
    with pytest.raises(Refused, match="window"):
        ask(lambda client: client.embed(short_clip, window="sideways"))


def test_a_model_of_another_space_is_refused(
    client_of: Make, service: Service, short_clip: Path
) -> None:
    ask = client_of(service.url, space="0123456789ab")
    with pytest.raises(OtherSpace, match="0123456789ab"):
        ask(lambda client: client.embed(short_clip))
    with pytest.raises(OtherSpace):  # of the whole batch, so no file's result
        ask(lambda client: client.embed_batch([short_clip]))
    (result,) = ask(lambda client: client.embed_many([short_clip]))
    assert isinstance(result.error, OtherSpace)


def embedding_of(space: str | None, vector: list[float]) -> Embedding:
    model = {"name": "m", "version": "1", "digest": "d" * 64, "precision": "float32"}
    return build_embedding(
        {
            "model": model | ({"space": space} if space else {}),
            "embedding": vector,
            "window": {"starts": [0.0], "seconds": 30.0, "how": "middle"},
            "audio": {"sha256": "0", "duration": 1, "codec": "mp3", "rate": 1, "channels": 1},
            "cached": False,
            "of a later version": 1,
        }
    )


def test_vectors_of_two_spaces_are_not_compared() -> None:
    first, second = "a" * 64, "b" * 64
    one = embedding_of(first, [3, 4])
    assert one.cosine(embedding_of(first, [4, 3])) == pytest.approx(24 / 25)
    with pytest.raises(MixedSpaces, match=f"{first[:12]}.*{second[:12]}"):
        one.cosine(embedding_of(second, [4, 3]))
    with pytest.raises(MixedSpaces, match="the model m"):
        one.cosine(embedding_of(None, [4, 3]))


def test_a_batch_answers_each_file(client_of: Make, service: Service, short_clip: Path) -> None:
    files = [short_clip, b"no audio", short_clip.read_bytes()]
    results = client_of(service.url)(lambda client: client.embed_batch(files, features=False))
    assert len(results) == len(files)
    by_file = {id(result.file): result for result in results}
    assert isinstance(by_file[id(files[1])].error, AudioRefused)
    good, same = by_file[id(files[0])].embedding, by_file[id(files[2])].embedding
    np.testing.assert_array_equal(good.embedding, same.embedding)


def test_an_api_key_is_sent(
    client_of: Make, tmp_path_factory: pytest.TempPathFactory, short_clip: Path
) -> None:
    folder, key = tmp_path_factory.mktemp("keyed"), "a-key-of-the-tests-0123456789"
    with running(folder / "log", api_keys=key, **small_models(folder)) as keyed:
        with pytest.raises(Unauthorized, match="key"):
            client_of(keyed.url)(lambda client: client.embed(short_clip))
        answer = client_of(keyed.url, api_key=key)(lambda client: client.embed(short_clip))
        assert answer.audio.sha256


def test_the_snippet_of_the_readme_runs_as_pasted(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "client" / "README.md").read_text()
    snippet = text.split("```python\n")[1].split("```")[0]
    exec(
        snippet.replace("http://127.0.0.1:8000", service.url).replace(
            '"examples', f'"{ROOT}/examples'
        )
    )
    assert capsys.readouterr().out.startswith("(40,) 0.")
