"""Response rendering: models' answers in the response schema of each route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from models.card import Card
from models.errors import TasteprintError
from service.inference.model import Model
from service.pipeline.model_request import ModelAnswer, ModelResult
from service.problems import describe
from service.schemas import headers
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


def embedding(answer: ModelAnswer, *, features: bool, levels: bool = False) -> Embedding:
    computed = answer.computed
    level_names = answer.model.level_names if levels else ()
    return Embedding(
        model=model_used(answer.model),
        embedding=computed.outputs["embedding"],
        features=computed.outputs["features"] if features else None,
        levels={name: computed.outputs[name] for name in level_names} if levels else None,
        window=computed.window,
        audio=computed.audio,
        cached=answer.cached,
    )


def embedding_response(
    answer: ModelAnswer, request: Request, *, features: bool, levels: bool
) -> Response:
    """JSON, or raw float32 if the request accepts `application/octet-stream`."""
    if RAW in request.headers.get("accept", ""):
        names = ["embedding", "features"] if features else ["embedding"]
        return octet_stream(answer, [*names, *answer.model.level_names] if levels else names)
    # Serialised here: FastAPI would first validate the answer against its own schema.
    body = embedding(answer, features=features, levels=levels)
    content = body.model_dump_json(exclude_none=True)
    return Response(content, media_type="application/json")


def octet_stream(answer: ModelAnswer, names: list[str]) -> Response:
    """Concatenated outputs as little-endian float32; headers state their names and sizes."""
    outputs = [answer.computed.outputs[name] for name in names]
    sizes = [f"{name}={len(output)}" for name, output in zip(names, outputs, strict=True)]
    described = {
        headers.OUTPUTS: ", ".join(sizes),
        headers.MODEL: answer.model.card.name,
        headers.DIGEST: answer.model.bundle.digest,
        headers.PRECISION: answer.model.precision,
        **({headers.SPACE: space} if (space := answer.model.card.space) else {}),
        headers.AUDIO: answer.computed.audio.sha256,
        headers.CACHED: str(answer.cached).lower(),
    }
    content = np.concatenate([np.array(output, "<f4") for output in outputs]).tobytes()
    return Response(content, headers=described, media_type=RAW)


def classification(
    answer: ModelAnswer, *, vectors: bool, threshold: float | None = None
) -> Classification:
    computed, card = answer.computed, answer.model.card
    probabilities = dict(zip(card.labels, computed.outputs["probabilities"], strict=True))
    labels = [
        Label(label=label, probability=probability)
        for label, probability in probabilities.items()
        if threshold is None or probability >= threshold
    ]
    return Classification(
        model=model_used(answer.model),
        labels=sorted(labels, key=lambda label: -label.probability),
        multilabel=card.multilabel,
        threshold=threshold,
        groups=_groups(card, probabilities),
        **_vectors(answer, vectors),
        window=computed.window,
        audio=computed.audio,
        cached=answer.cached,
    )


def _groups(card: Card, probabilities: Mapping[str, float]) -> dict[str, float] | None:
    """Probability of each group of the card, as the shortest decimal of its float32."""
    if not card.groups:
        return None
    return {
        name: float(str(np.float32(sum(probabilities[label] for label in labels))))
        for name, labels in card.groups.items()
    }


def regression(answer: ModelAnswer, *, vectors: bool) -> Regression:
    computed = answer.computed
    targets = answer.model.card.targets
    return Regression(
        model=model_used(answer.model),
        values=dict(zip(targets, computed.outputs["values"], strict=True)),
        **_vectors(answer, vectors),
        window=computed.window,
        audio=computed.audio,
        cached=answer.cached,
    )


def analysis(
    models: Sequence[Model], results: Sequence[ModelResult], *, features: bool, vectors: bool
) -> Analysis:
    """Every model's answer or problem; if no model answered, raises the first error.

    Raises
    ------
    TasteprintError
    """
    answers = [result for result in results if isinstance(result, ModelAnswer)]
    if not answers:
        raise next(result for result in results if isinstance(result, TasteprintError))
    window, audio = answers[0].computed.window, answers[0].computed.audio
    parts: dict[str, Analysed] = {}
    for model, result in zip(models, results, strict=True):
        part: Mapping[str, object]
        if isinstance(result, TasteprintError):
            part = {"model": model_used(model), "problem": describe(result)}
        else:
            part = _analysed(result, window, features=features, vectors=vectors)
        parts[model.card.name] = Analysed.model_validate(
            {"kind": model.card.kind, "task": model.card.task, **part}
        )
    return Analysis(window=window, audio=audio, models=parts)


def _analysed(
    answer: ModelAnswer, window: WindowUsed, *, features: bool, vectors: bool
) -> dict[str, object]:
    """The body of the model's own route, without the fields that are stated once for all models."""
    body: Embedding | Classification | Regression
    match answer.model.card.kind:
        case "encoder":
            body = embedding(answer, features=features)
        case "classifier":
            body = classification(answer, vectors=vectors)
        case "regressor":
            body = regression(answer, vectors=vectors)
    part = {name: value for name, value in body if name in Analysed.model_fields}
    if body.window == window:
        del part["window"]
    return part


def _vectors(answer: ModelAnswer, requested: bool) -> dict[str, Vector]:
    """The model's own embedding and features, if requested."""
    outputs = answer.computed.outputs
    return {name: outputs[name] for name in ("embedding", "features")} if requested else {}


def model_used(model: Model) -> ModelUsed:
    return ModelUsed(
        name=model.card.name,
        version=model.card.version,
        digest=model.bundle.digest,
        precision=model.precision,
        space=model.card.space,
    )
