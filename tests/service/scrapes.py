"""A scrape of `/metrics`, parsed as by Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.running import Service


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape."""

    samples: list[Sample]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name whose labels include these; 0 where there is none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for sample in self.samples if sample.name == name]


def read(text: str) -> Scrape:
    return Scrape(
        [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    )


def scrape(service: Service) -> Scrape:
    return read(service.http.get("/metrics").raise_for_status().text)
