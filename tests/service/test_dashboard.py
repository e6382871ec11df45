"""The Grafana dashboard queries existing metrics only, and shows all metrics of the service."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from tests.bundles import write_bundle
from tests.running import ROOT, Service
from tests.service.scrapes import Scrape, scrape
from tests.service.test_api_keys import FIRST, SECOND, settings

DASHBOARD = json.loads((ROOT / "examples" / "grafana" / "tasteprint.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\b(?:tasteprint|process)_\w+")
# Behind a selector's brace and comma, or in `by (…)`.
MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\bby \(([\w, ]*)\)")
PROMETHEUS_OWN = {"instance", "job"}
WORDS = {"sum", "by", "on", "rate", "increase", "group_left", "histogram_quantile"}


@pytest.fixture(scope="module")
def found(watched: Service) -> Scrape:
    return scrape(watched)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(found: Scrape, query: str) -> None:
    names = METRIC.findall(query)
    assert names
    existing = set(PROMETHEUS_OWN)
    for name in names:
        labels = found.labels(name)
        assert labels, name
        existing |= labels[0].keys()
    asked = set(MATCHED.findall(query))
    for group in GROUPED.findall(query):
        asked |= {label.strip() for label in group.split(",")}
    assert asked <= existing


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_only_metrics_labels_and_known_words(query: str) -> None:
    bare = re.sub(
        r"\"[^\"]*\"|\[[^]]*\]|\([\w, ]*\)|\{[^}]*\}|\b[\d.]+\b", " ", METRIC.sub(" ", query)
    )
    assert set(re.findall(r"[A-Za-z_]\w*", bare)) <= WORDS
    assert query.count("(") == query.count(")")


def test_every_metric_of_the_service_is_shown(found: Scrape) -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for query in QUERIES
        for name in METRIC.findall(query)
    }
    own = {re.sub(r"_(bucket|sum|count)$", "", sample.name) for sample in found.samples}
    assert {name for name in own if name.startswith("tasteprint_")} <= shown


def test_legends_name_labels_that_their_query_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            kept = {
                label.strip()
                for group in GROUPED.findall(target["expr"])
                for label in group.split(",")
            }
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= kept | PROMETHEUS_OWN | {"version"}, panel["title"]


def test_the_operations_page_shows_series_and_a_log_line_that_exist(
    found: Scrape, watched: Service
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    shown = re.findall(r"^(tasteprint_\w+)(?:\{(.*)\})? [\d.]+$", page, re.MULTILINE)
    assert len(shown) == 7
    for name, labels in shown:
        assert set(re.findall(r"(\w+)=", labels)) == found.labels(name)[0].keys(), name
    (line,) = re.findall(r"^```json\n(.*)\n```", page, re.MULTILINE)
    lines = [json.loads(entry) for entry in watched.log().splitlines()]
    assert list(json.loads(line)) in [list(entry) for entry in lines]


def test_compose_mounts_files_that_exist() -> None:
    mounted = re.findall(r"- \./(\S+?):/\S+:ro", (ROOT / "docker-compose.yml").read_text())
    assert {"examples/grafana/tasteprint.json", "examples/prometheus.yml"} <= set(mounted)
    assert all((ROOT / path).exists() for path in mounted)


@pytest.mark.parametrize(
    ("keys", "named"),
    [({}, ""), ({"api_keys": FIRST}, ""), ({"api_keys": f"{FIRST},{SECOND}"}, SECOND)],
    ids=["no key", "one", "several"],
)
def test_prometheus_is_given_a_key_that_opens(
    keys: dict[str, str], named: str, tmp_path: Path
) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    scrapes = (ROOT / "examples" / "prometheus.yml").read_text()
    (content,) = re.findall(r"^  prometheus_key:\n(?:    #.*\n)*    content: (.*)$", compose, re.M)
    (mounted,) = re.findall(r"source: prometheus_key\n\s+target: (\S+)", compose)
    assert f"credentials_file: {mounted}\n" in scrapes
    # Compose puts variables in as a shell does.
    given = {"PROMETHEUS_KEY": named, "TASTEPRINT_API_KEYS": keys.get("api_keys", "")}
    echo = subprocess.run(["bash", "-c", f"echo {content}"], env=given, capture_output=True)
    key = echo.stdout.decode().strip()
    write_bundle(tmp_path, "levels")
    app = create_app(settings(models_dir=tmp_path, **keys))

    async def ask() -> int:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service"
        ) as http:
            asked = await http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            return asked.status_code

    assert key
    assert asyncio.run(ask()) == 200
