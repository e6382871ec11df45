"""Prometheus collector: queue lengths, held bytes, model info."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.inference.model import Model
from service.observability.context import RequestContext
from service.pipeline.pipeline import Pipeline


class QueueGauges(Collector):
    """Prometheus collector of current values, so that no stage has to count up and down."""

    def __init__(self, pipeline: Pipeline, running: Collection[RequestContext]) -> None:
        self._pipeline, self._running = pipeline, running

    def describe(self) -> list[Metric]:
        return []  # skips the check for duplicate names: the pipeline has not started yet

    def collect(self) -> Iterator[Metric]:
        pipeline = self._pipeline
        yield _gauge("requests_running", "Requests in progress.", len(self._running))
        uploads = sum(context.is_uploading for context in self._running)
        yield _gauge("uploads_running", "Uploads in progress.", uploads)
        held_bytes = pipeline.upload_budget.held_bytes
        yield _gauge("held_bytes", "Bytes of uploads in memory.", held_bytes)
        in_flight = pipeline.admission.in_flight
        yield _gauge("windows_in_work", "Windows of audio in flight.", in_flight)
        waiting = pipeline.decoders.waiting
        yield _gauge("decode_jobs_waiting", "Files that wait for a decoder process.", waiting)
        yield self._windows_waiting()
        yield self._models()

    def _windows_waiting(self) -> Metric:
        name, text = "tasteprint_windows_waiting", "Windows in the queue of each model."
        family = GaugeMetricFamily(name, text, labels=["model"])
        for model, batcher in self._pipeline.batchers.items():
            family.add_metric([model], batcher.waiting)
        return family

    def _models(self) -> Metric:
        text = "Loaded models, with the execution provider and precision in use."
        family = InfoMetricFamily("tasteprint_model", text, labels=[])
        for model in self._pipeline.models.loaded.values():
            family.add_metric([], _labels_of(model))
        return family


def _labels_of(model: Model) -> dict[str, str]:
    card = model.card
    return {
        "name": card.name,
        "version": card.version,
        "digest": model.bundle.digest,
        "kind": card.kind,
        "task": card.task,
        "provider": model.provider,
        "devices": str(model.devices),
        "precision": model.precision,
    }


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tasteprint_{name}", text, value=value)
