"""Respond: the shape in which each route says what its models answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.errors import TasteprintError
from service.answers import (
    Analysed,
    Analysis,
    Classification,
    Embedding,
    Label,
    ModelUsed,
    Regression,
    Vector,
    WindowUsed,
)
from service.pipeline import Answered
from service.problems import describe
from service.session import Model


def embedding(answered: Answered, *, features: bool) -> Embedding:
    computed = answered.computed
    return Embedding(
        model=used(answered.model),
        embedding=computed.outputs["embedding"],
        features=computed.outputs["features"] if features else None,
        window=computed.window,
        audio=computed.audio,
        cached=answered.cached,
    )


def classification(answered: Answered, *, vectors: bool) -> Classification:
    computed = answered.computed
    pairs = zip(answered.model.card.labels, computed.outputs["probabilities"], strict=True)
    labels = [Label(label=label, probability=probability) for label, probability in pairs]
    return Classification(
        model=used(answered.model),
        labels=sorted(labels, key=lambda each: -each.probability),
        **_own(answered, vectors),
        window=computed.window,
        audio=computed.audio,
        cached=answered.cached,
    )


def regression(answered: Answered, *, vectors: bool) -> Regression:
    computed = answered.computed
    targets = answered.model.card.targets
    return Regression(
        model=used(answered.model),
        values=dict(zip(targets, computed.outputs["values"], strict=True)),
        **_own(answered, vectors),
        window=computed.window,
        audio=computed.audio,
        cached=answered.cached,
    )


def analysis(
    models: Sequence[Model],
    results: Sequence[Answered | TasteprintError],
    *,
    features: bool,
    vectors: bool,
) -> Analysis:
    """Every model's answer or problem; where none answered, the first one's error is raised.

    Raises
    ------
    TasteprintError
    """
    answered = [result for result in results if isinstance(result, Answered)]
    if not answered:
        raise next(result for result in results if isinstance(result, TasteprintError))
    window, audio = answered[0].computed.window, answered[0].computed.audio
    parts: dict[str, Analysed] = {}
    for model, result in zip(models, results, strict=True):
        said: Mapping[str, object]
        if isinstance(result, TasteprintError):
            said = {"model": used(model), "problem": describe(result)}
        else:
            said = _said(result, window, features=features, vectors=vectors)
        parts[model.card.name] = Analysed.model_validate(
            {"kind": model.card.kind, "task": model.card.task, **said}
        )
    return Analysis(window=window, audio=audio, models=parts)


def _said(
    answered: Answered, window: WindowUsed, *, features: bool, vectors: bool
) -> dict[str, object]:
    """The answer of the model's own route, without what is stated for all models."""
    answer: Embedding | Classification | Regression
    match answered.model.card.kind:
        case "encoder":
            answer = embedding(answered, features=features)
        case "classifier":
            answer = classification(answered, vectors=vectors)
        case "regressor":
            answer = regression(answered, vectors=vectors)
    said = dict(answer)
    del said["audio"]
    if answer.window == window:
        del said["window"]
    return said


def _own(answered: Answered, vectors: bool) -> dict[str, Vector]:
    outputs = answered.computed.outputs
    return {name: outputs[name] for name in ("embedding", "features")} if vectors else {}


def used(model: Model) -> ModelUsed:
    return ModelUsed(name=model.card.name, version=model.card.version, digest=model.bundle.digest)
