"""Classifications: one label or several, a threshold, and groups of labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundles import LABELS, SIZES, write_bundle, write_head, write_task
from tests.running import Service, running
from tests.service.test_bad_input import assert_problem

# Groups may share labels.
GROUPS = {"second": ("odd", "loud"), "first": ("calm", "odd"), "all": LABELS}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A classifier and a tagger, and their like on an encoder; a classifier with groups."""
    folder = tmp_path_factory.mktemp("models")
    levels = write_bundle(folder, "levels")
    write_task(folder, "mood")
    write_task(folder, "tags", "tagger", task="tags")
    write_head(folder, "head-tags", levels.digest, "tagger", task="tags")
    write_head(folder, "quadrant", levels.digest, task="quadrant", groups=GROUPS)
    write_task(folder, "feeling", "regressor", task="feeling")
    output = tmp_path_factory.mktemp("tasks") / "log"
    with running(output, models_dir=folder, default_model="levels", decode_workers=1) as service:
        yield service


def by_label(answer: dict[str, Any]) -> dict[str, float]:
    return {label["label"]: label["probability"] for label in answer["labels"]}


def expected_tags(inputs: list[float], name: str) -> list[float]:
    """The sigmoid of the last layer of `tests.bundles.head_bytes`."""
    weight = 3 * np.random.default_rng(0).standard_normal((SIZES[name], len(LABELS)))
    logits = np.array(inputs) @ weight
    return list((1 / (1 + np.exp(-logits))).tolist())


@pytest.mark.parametrize(("model", "on"), [("tags", "embedding"), ("head-tags", "features")])
def test_each_label_has_a_probability_of_its_own(
    tasks: Service, short_clip: Path, model: str, on: str
) -> None:
    answer = tasks.answer("/classify/tags", short_clip, model=model, vectors=True)
    assert answer["multilabel"] is True
    assert list(by_label(answer).values()) == sorted(by_label(answer).values(), reverse=True)
    found = by_label(answer)
    assert [found[label] for label in LABELS] == pytest.approx(
        expected_tags(answer[on], on), abs=1e-5
    )
    assert sum(found.values()) != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("task", "multilabel"), [("tags", True), ("mood", False)])
def test_threshold_leaves_out_labels_below(
    tasks: Service, short_clip: Path, task: str, multilabel: bool
) -> None:
    whole = tasks.answer(f"/classify/{task}", short_clip)
    assert whole["multilabel"] is multilabel
    assert "threshold" not in whole
    _, second, third = by_label(whole).values()
    assert second > third
    thresholds = {0.0: 3, second: 2, (second + third) / 2: 2, 1.0: 0}
    for threshold, count in thresholds.items():
        answer = tasks.answer(f"/classify/{task}", short_clip, threshold=str(threshold))
        assert answer["threshold"] == threshold
        assert answer["labels"] == whole["labels"][:count]
        assert answer["cached"] is True  # the threshold is not part of what is computed


@pytest.mark.parametrize("threshold", ["-0.1", "1.1", "nan", "inf", "half", ""])
def test_a_threshold_outside_of_0_to_1_is_refused(
    tasks: Service, short_clip: Path, threshold: str
) -> None:
    response = tasks.post("/classify/tags", short_clip, threshold=threshold)
    assert_problem(response, 422, "invalid-parameter")


@pytest.mark.parametrize("route", ["/regress/feeling", "/analyze", "/embed"])
def test_only_classify_takes_a_threshold(tasks: Service, short_clip: Path, route: str) -> None:
    response = tasks.post(route, short_clip, threshold="0.5")
    assert_problem(response, 400, "unknown-parameter")


def test_a_group_has_the_sum_of_its_labels(tasks: Service, short_clip: Path) -> None:
    answer = tasks.answer("/classify/quadrant", short_clip)
    assert list(answer["groups"]) == list(GROUPS)
    for name, labels in GROUPS.items():
        expected = sum(by_label(answer)[label] for label in labels)
        assert answer["groups"][name] == pytest.approx(expected, abs=1e-6)
        # The shortest decimal of a float32, as all numbers of an answer.
        assert answer["groups"][name] == float(str(np.float32(answer["groups"][name])))
    none = tasks.answer("/classify/quadrant", short_clip, threshold="1")
    assert (none["labels"], none["groups"]) == ([], answer["groups"])


def test_groups_are_left_out_if_the_card_has_none(tasks: Service, short_clip: Path) -> None:
    for task in ("mood", "tags"):
        assert "groups" not in tasks.answer(f"/classify/{task}", short_clip)


def test_an_analysis_says_of_classifiers_what_classify_says(
    tasks: Service, short_clip: Path
) -> None:
    models = tasks.answer("/analyze", short_clip)["models"]
    routes = {"mood": "mood", "tags": "tags", "head-tags": "tags", "quadrant": "quadrant"}
    for model, task in routes.items():
        alone = tasks.answer(f"/classify/{task}", short_clip, model=model)
        for name in ("labels", "multilabel", "groups"):
            assert models[model].get(name) == alone.get(name)
    assert models["quadrant"]["groups"].keys() == GROUPS.keys()
    for model in ("levels", "feeling"):
        assert not {"labels", "multilabel", "groups", "threshold"} & models[model].keys()
