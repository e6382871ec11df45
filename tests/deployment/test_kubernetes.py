"""The Kustomize overlays: valid, and in agreement with the service, its settings and its image.

No cluster is asked: `kubectl kustomize` renders, and kubernetes-validate has the schemas.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from examples.recommender.settings import Settings as RecommenderSettings
from service.api import operations
from service.settings import Settings, from_environment
from tests.deployment.dockerfile import read
from tests.running import ROOT, running

OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
NAMES = ("cpu", "gpu", "redis", "recommender")
# The first version with the action `sleep` of preStop in its schema, and the newest one there is.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
SERVICE = "tasteprint"
Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """What `kubectl apply --kustomize` would send to a cluster."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    return tuple(render(OVERLAYS / name))


def find(name: str, kind: str, called: str = SERVICE) -> Manifest:
    (found,) = [
        manifest
        for manifest in overlay(name)
        if manifest["kind"] == kind and manifest["metadata"]["name"].startswith(called)
        if manifest["metadata"]["name"] == called or kind == "ConfigMap"
    ]
    return found


def pod(name: str) -> Manifest:
    spec: Manifest = find(name, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Manifest:
    (found,) = pod(name)["containers"]
    assert isinstance(found, dict)
    return found


def environment(name: str) -> dict[str, str]:
    """Variables of the service's container: of its image, the ConfigMap, and its own."""
    config = find(name, "ConfigMap", "tasteprint-settings")
    (source,) = container(name)["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    own = {variable["name"]: variable["value"] for variable in container(name)["env"]}
    target = "cuda" if name == "gpu" else "cpu"
    image = read(ROOT / "Dockerfile").image(target).env
    of_image = {key: value for key, value in image.items() if key.startswith("TASTEPRINT_")}
    return {**of_image, **config["data"], **own}


@pytest.fixture
def settings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that the service reads in the overlay's container."""
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    variables = environment(name)
    assert Path(variables["TASTEPRINT_API_KEYS_FILE"]).name == keys.name
    for key, value in (variables | {"TASTEPRINT_API_KEYS_FILE": str(keys)}).items():
        monkeypatch.setenv(key, value)
    return from_environment()


def in_bytes(quantity: str) -> int:
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return int(quantity[:-2]) * units[quantity[-2:]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_manifest_of_an_overlay_is_valid(name: str, version: str) -> None:
    assert len(overlay(name)) >= 5
    for manifest in overlay(name):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_is_misspelt_is_refused() -> None:
    manifest = yaml.safe_load(yaml.safe_dump(find("cpu", "Deployment")))
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_settings_of_the_service(name: str, settings: Settings) -> None:
    assert settings.host == "0.0.0.0"
    assert pod(name)["enableServiceLinks"] is False  # else the cluster adds TASTEPRINT_PORT=tcp://…
    assert settings.require_gpu is (name == "gpu")
    assert (settings.redis_url is not None) is (name in {"redis", "recommender"})


@pytest.mark.parametrize("name", NAMES)
def test_the_pod_has_time_to_finish_its_requests(name: str, settings: Settings) -> None:
    pause_s = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(name)["terminationGracePeriodSeconds"] >= pause_s + settings.shutdown_s + 5


@pytest.mark.parametrize("name", NAMES)
def test_memory_holds_uploads_models_and_decoders(name: str, settings: Settings) -> None:
    resources = container(name)["resources"]
    cores = int(resources["limits"]["cpu"])
    (tmp,) = [volume for volume in pod(name)["volumes"] if volume["name"] == "tmp"]
    # Measured: 512 MB under load with the decoders of two cores, of 106 MiB at most each; 15 KB for
    # each answer in the cache.
    needed = settings.max_held_bytes + 512_000_000 + (cores - 2) * (106 << 20)
    needed += settings.cache_entries * 15_000 + in_bytes(tmp["emptyDir"]["sizeLimit"])
    assert needed <= in_bytes(resources["limits"]["memory"])
    assert in_bytes(resources["requests"]["memory"]) <= in_bytes(resources["limits"]["memory"])


@pytest.mark.parametrize("name", NAMES)
def test_ports_and_probes_are_those_of_the_service(name: str, settings: Settings) -> None:
    service, own = find(name, "Service"), container(name)
    (port,) = own["ports"]
    assert port["containerPort"] == settings.port
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [port["name"]]
    labels = find(name, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert find(name, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= (
        labels.items()
    )
    routes = {getattr(route, "path", None) for route in operations.router.routes}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert own[probe]["httpGet"]["path"] in routes
        assert own[probe]["httpGet"]["port"] == port["name"]
    assert own["livenessProbe"]["httpGet"]["path"] != own["readinessProbe"]["httpGet"]["path"]


@pytest.mark.parametrize("name", NAMES)
def test_the_pod_runs_as_the_images_user_and_cannot_gain_rights(name: str) -> None:
    image = read(ROOT / "Dockerfile").image("cuda" if name == "gpu" else "cpu")
    assert str(pod(name)["securityContext"]["runAsUser"]) == image.user
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    context = container(name)["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    file = Path(environment(name)["TASTEPRINT_API_KEYS_FILE"])
    assert mounts == {"keys": str(file.parent), "tmp": "/tmp"}


def test_only_the_service_reaches_redis() -> None:
    (rule,) = find("redis", "NetworkPolicy", "tasteprint-redis")["spec"]["ingress"]
    (source,) = rule["from"]
    labels = find("redis", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    url = environment("redis")["TASTEPRINT_REDIS_URL"]
    service = find("redis", "Service", "tasteprint-redis")
    (port,) = service["spec"]["ports"]
    assert url == f"redis://{service['metadata']['name']}:{port['port']}/0"
    assert "tasteprint-redis" not in {manifest["metadata"]["name"] for manifest in overlay("cpu")}


def test_the_recommender_finds_the_service_and_keeps_its_songs() -> None:
    deployment = find("recommender", "Deployment", "tasteprint-recommender")
    (own,) = deployment["spec"]["template"]["spec"]["containers"]
    image = read(ROOT / "examples" / "recommender" / "Dockerfile").image()
    variables = image.env | {variable["name"]: variable.get("value") for variable in own["env"]}
    given = {name for name in variables if name.startswith("RECOMMENDER_")}
    assert given <= {f"RECOMMENDER_{name.upper()}" for name in RecommenderSettings.model_fields}
    service = find("recommender", "Service")
    (port,) = service["spec"]["ports"]
    url = f"http://{service['metadata']['name']}:{port['port']}"
    assert variables["RECOMMENDER_SERVICE_URL"] == url
    (listens,) = own["ports"]
    assert image.ports == (str(listens["containerPort"]),)
    mounts = {mount["name"]: mount["mountPath"] for mount in own["volumeMounts"]}
    assert str(Path(variables["RECOMMENDER_DATABASE"]).parent) == mounts["data"]
    # SQLite has one process.
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"]["type"] == "Recreate"
    assert own["readinessProbe"]["httpGet"]["path"] in " ".join(image.healthcheck)


def test_the_service_runs_with_the_variables_of_the_cpu_overlay(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    variables = environment("cpu") | {
        "TASTEPRINT_API_KEYS_FILE": str(keys),
        "TASTEPRINT_HOST": "127.0.0.1",
        "TASTEPRINT_PORT": "0",
        "TASTEPRINT_LOG_FORMAT": "text",  # from which the test reads the port
    }
    given = {key.removeprefix("TASTEPRINT_").lower(): value for key, value in variables.items()}
    with running(tmp_path / "service.log", **given) as service:
        audio = ROOT / "examples" / "chords.mp3"
        assert service.http.get(container("cpu")["readinessProbe"]["httpGet"]["path"]).is_success
        assert service.embed(audio).status_code == 401
        service.http.headers["Authorization"] = "Bearer 0123456789abcdef"
        assert service.embedding(audio)["model"]["precision"] == "float32"
