"""Respond: the shape in which each route says what its models answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from models.errors import TasteprintError
from service.inference.session import Model
from service.pipeline.pipeline import Answered
from service.problems import describe
from service.schemas.responses import (
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

RAW = "application/octet-stream"


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


def embedded(answered: Answered, request: Request, *, features: bool) -> Response:
    """As JSON, or as the bare numbers where these are what the client accepts."""
    if RAW in request.headers.get("accept", ""):
        return vectors(answered, ["embedding", "features"] if features else ["embedding"])
    # Written straight from the answer: FastAPI would first check it against its own schema.
    content = embedding(answered, features=features).model_dump_json(exclude_none=True)
    return Response(content, media_type="application/json")


def vectors(answered: Answered, names: list[str]) -> Response:
    """Outputs one after the other as little-endian float32, and in headers what they are."""
    outputs = [answered.computed.outputs[name] for name in names]
    sizes = ", ".join(f"{name}={len(each)}" for name, each in zip(names, outputs, strict=True))
    headers = {
        "Tasteprint-Outputs": sizes,
        "Tasteprint-Model": answered.model.card.name,
        "Tasteprint-Digest": answered.model.bundle.digest,
        "Tasteprint-Precision": answered.model.precision,
        "Tasteprint-Audio": answered.computed.audio.sha256,
        "Tasteprint-Cached": str(answered.cached).lower(),
    }
    content = np.concatenate([np.array(each, "<f4") for each in outputs]).tobytes()
    return Response(content, headers=headers, media_type=RAW)


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
    return ModelUsed(
        name=model.card.name,
        version=model.card.version,
        digest=model.bundle.digest,
        precision=model.precision,
    )
