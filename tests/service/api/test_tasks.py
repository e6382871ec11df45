"""`POST /classify/{task}` and `/regress/{task}` answer by name what the model's card says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.bundle import read
from tests.bundles import DIM, LABELS, TARGETS, WIDTH
from tests.running import Service, running
from tests.service.tasks import write_models
from tests.service.test_bad_input import assert_problem
from tests.sounds import golden, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def tasks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    output = tmp_path_factory.mktemp("tasks") / "log"
    with running(output, models_dir=folder, default_model="levels", decode_workers=1) as service:
        yield service


def test_labels_come_best_first_and_sum_to_one(tasks: Service, short_clip: Path) -> None:
    answer = tasks.answer("/classify/mood", short_clip)
    labels = answer["labels"]
    probabilities = [label["probability"] for label in labels]
    assert sorted(label["label"] for label in labels) == sorted(LABELS)
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-6)


def test_the_rest_is_what_embed_says(tasks: Service, short_clip: Path) -> None:
    embedded = tasks.embedding(short_clip, model="mood")
    for vectors in (False, True):
        answer = tasks.answer("/classify/mood", short_clip, vectors=vectors)
        kept = {
            name: value for name, value in answer.items() if name not in {"labels", "multilabel"}
        }
        same = (
            embedded
            if vectors
            else {
                name: value
                for name, value in embedded.items()
                if name not in {"embedding", "features"}
            }
        )
        assert kept == same | {"cached": True}  # one answer is remembered for both routes


def test_values_are_named_by_the_cards_targets(tasks: Service, short_clip: Path) -> None:
    answer = tasks.answer("/regress/feeling", short_clip, vectors=True)
    # The weight of `tests.bundles.head_bytes`.
    weight = 3 * np.random.default_rng(0).standard_normal((DIM, len(TARGETS)))
    expected = np.array(answer["embedding"]) @ weight
    assert answer["values"].keys() == set(TARGETS)
    assert [answer["values"][name] for name in TARGETS] == pytest.approx(expected, abs=1e-4)
    assert len(answer["features"]) == WIDTH
    assert "embedding" not in tasks.answer("/regress/feeling", short_clip)


def test_a_model_is_chosen_by_name_or_by_the_task(
    tasks: Service, folder: Path, short_clip: Path
) -> None:
    for query, name in (({}, "mood"), ({"model": "a-mood"}, "a-mood")):
        used = tasks.answer("/classify/mood", short_clip, **query)["model"]
        assert used["name"] == name
        assert used["digest"] == read(folder / name).digest


def test_all_is_the_mean_of_the_windows_probabilities(tasks: Service, tmp_path: Path) -> None:
    path = write(tmp_path / "two.wav", golden(2.0, 16_000, 1, seed=3), 16_000)
    for model in ("mood", "a-mood"):
        every, *parts = (
            {
                label["label"]: label["probability"]
                for label in tasks.answer("/classify/mood", path, model=model, window=window)[
                    "labels"
                ]
            }
            for window in ("all", "0", "1")
        )
        mean = {label: np.mean([part[label] for part in parts]) for label in LABELS}
        assert every == pytest.approx(mean, abs=1e-6)
        assert parts[0] != parts[1]


@pytest.mark.parametrize(
    ("route", "there_are"),
    [
        ("/classify/other", "delicate, mood"),
        ("/classify/feeling", "delicate, mood"),  # a regressor's
        ("/classify/levels", "delicate, mood"),  # an encoder's
        ("/regress/mood", "feeling"),
    ],
)
def test_an_unknown_task_lists_the_known_tasks(
    tasks: Service, short_clip: Path, route: str, there_are: str
) -> None:
    problem = assert_problem(tasks.post(route, short_clip), 404, "unknown-task")
    assert problem["limit"] == there_are


def test_a_model_that_does_not_do_the_task_names_those_that_do(
    tasks: Service, short_clip: Path
) -> None:
    wrong = tasks.post("/classify/mood", short_clip, model="levels")
    assert assert_problem(wrong, 422, "wrong-model")["limit"] == "a-mood, mood"
    unknown = tasks.post("/classify/mood", short_clip, model="other")
    assert assert_problem(unknown, 404, "unknown-model")["limit"] == "a-mood, mood"


def test_a_misspelt_parameter_is_refused(tasks: Service, short_clip: Path) -> None:
    response = tasks.post("/classify/mood", short_clip, features=True)
    problem = assert_problem(response, 400, "unknown-parameter")
    assert problem["limit"] == "model, window, vectors, threshold"


def test_models_say_what_they_do_and_whose_run_they_share(tasks: Service) -> None:
    listed = tasks.http.get("/models").json()["models"]
    found = {model["name"]: (model["kind"], model["task"], model["encoder"]) for model in listed}
    assert found == {
        "a-mood": ("classifier", "mood", "levels"),
        "delicate": ("classifier", "delicate", None),
        "feeling": ("regressor", "feeling", "levels"),
        "levels": ("encoder", "levels", None),
        "long": ("encoder", "levels", None),
        "mood": ("classifier", "mood", None),
    }
    assert "classifier of mood, a head on levels, on" in tasks.log()


def test_every_model_is_ready(tasks: Service) -> None:
    ready = tasks.http.get("/readyz").json()
    assert len(ready["providers"]) == 6


@pytest.mark.parametrize("path", ["/classify/{task}", "/regress/{task}", "/analyze"])
def test_openapi_shows_the_upload_and_the_problems(tasks: Service, path: str) -> None:
    paths = tasks.http.get("/openapi.json").json()["paths"]
    embed, route = paths["/embed"]["post"], paths[path]["post"]
    assert route["requestBody"] == embed["requestBody"]
    # A caller's CF space is a parameter of the embedding routes alone.
    assert route["responses"].keys() == embed["responses"].keys() - {"409"}
