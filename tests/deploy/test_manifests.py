"""The Kubernetes manifests: rendered, valid for the API's schemas, and making sense with the service's own settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import PREFIX, Settings

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
OVERLAYS = ("dev", "prod", "gpu")
COMPONENTS = ("service-monitor", "alerts", "ingress", "gateway", "keda", "models-volume")
SCHEMAS = ("1.29", "1.37")
OF_OPERATORS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute"}
"""Kinds that the API's own schemas do not have."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the manifests; not installed")


def render(folder: Path) -> list[dict[str, Any]]:
    result = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(scope="module", params=[*OVERLAYS, *(f"prod with {name}" for name in COMPONENTS)])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every overlay, and the production one with each component in turn."""
    overlay, _, component = request.param.partition(" with ")
    if not component:
        return render(DEPLOY / "overlays" / overlay)
    root = Path(shutil.copytree(DEPLOY, tmp_path_factory.mktemp("deploy") / "deploy"))
    with (root / "overlays" / overlay / "kustomization.yaml").open("a") as file:
        file.write(f"components:\n  - ../../components/{component}\n")
    return render(root / "overlays" / overlay)


def of_kind(rendered: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in rendered if document["kind"] == kind]


def deployment_of(rendered: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = of_kind(rendered, "Deployment")
    return found


def container_of(rendered: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = deployment_of(rendered)["spec"]["template"]["spec"]["containers"]
    return found


def quantity(text: str) -> float:
    """Kubernetes' number with a unit."""
    units = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    assert match, text
    return float(match[1]) * units[match[2]]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_document_is_valid(rendered: list[dict[str, Any]], schema: str) -> None:
    checked = [document for document in rendered if document["kind"] not in OF_OPERATORS]
    assert len(checked) >= 5
    for document in checked:
        kubernetes_validate.validate(document, schema, strict=True)


def test_a_wrong_document_is_not_valid() -> None:
    wrong = render(DEPLOY / "overlays" / "dev")
    deployment_of(wrong)["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment_of(wrong), SCHEMAS[-1], strict=True)


def test_selectors_find_the_pods(rendered: list[dict[str, Any]]) -> None:
    labels = deployment_of(rendered)["spec"]["template"]["metadata"]["labels"].items()
    spec = deployment_of(rendered)["spec"]
    selectors = [spec["selector"]["matchLabels"]]
    selectors += [
        each["labelSelector"]["matchLabels"] for each in spec["template"]["spec"]["topologySpreadConstraints"]
    ]
    selectors += [document["spec"]["selector"] for document in of_kind(rendered, "Service")]
    selectors += [document["spec"]["selector"]["matchLabels"] for document in of_kind(rendered, "PodDisruptionBudget")]
    selectors += [document["spec"]["podSelector"]["matchLabels"] for document in of_kind(rendered, "NetworkPolicy")]
    assert len(selectors) == 5
    for selector in selectors:
        assert selector
        assert selector.items() <= labels
    for monitor in of_kind(rendered, "ServiceMonitor"):
        (service,) = of_kind(rendered, "Service")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def test_ports_go_by_their_names(rendered: list[dict[str, Any]]) -> None:
    (service,) = of_kind(rendered, "Service")
    names = {port["name"] for port in container_of(rendered)["ports"]}
    exposed = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    (policy,) = of_kind(rendered, "NetworkPolicy")
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= names
    for ingress in of_kind(rendered, "Ingress"):
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        assert path["backend"]["service"]["port"]["name"] in exposed
    for route in of_kind(rendered, "HTTPRoute"):
        assert route["spec"]["rules"][0]["backendRefs"][0]["port"] in exposed.values()


def test_what_scales_points_at_the_deployment(rendered: list[dict[str, Any]]) -> None:
    scalers = of_kind(rendered, "HorizontalPodAutoscaler") + of_kind(rendered, "ScaledObject")
    replicas = "replicas" in deployment_of(rendered)["spec"]
    assert len(scalers) == (0 if replicas else 1)
    for scaler in scalers:
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment_of(rendered)["metadata"]["name"]


def test_probes_ask_for_what_each_is_for(rendered: list[dict[str, Any]]) -> None:
    container = container_of(rendered)
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/readyz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"] <= 5


def test_the_pod_is_as_restricted_as_can_be(rendered: list[dict[str, Any]]) -> None:
    pod, container = deployment_of(rendered)["spec"]["template"]["spec"], container_of(rendered)
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    (account,) = of_kind(rendered, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    # What the service writes lies in memory.
    writable = {mount["mountPath"] for mount in container["volumeMounts"]}
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert {str(Path(environment[name]).parent) for name in ("BENTOML_HOME", "CONVOY_CACHE")} <= writable


def test_the_end_leaves_time_for_what_was_begun(rendered: list[dict[str, Any]]) -> None:
    pod, container = deployment_of(rendered)["spec"]["template"]["spec"], container_of(rendered)
    environment = {each["name"]: each["value"] for each in container["env"]}
    ours = {name.removeprefix(PREFIX).lower() for name in environment if name.startswith(PREFIX)}
    assert ours <= set(Settings.model_fields)
    before_stop = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    draining = float(environment["CONVOY_DRAIN"]) + 2 * float(environment["CONVOY_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] >= before_stop + draining + 5
    strategy = deployment_of(rendered)["spec"]["strategy"]["rollingUpdate"]
    assert (strategy["maxUnavailable"], strategy["maxSurge"]) == (0, 1)


def test_resources_are_quantities_and_requests_fit_limits(rendered: list[dict[str, Any]]) -> None:
    resources = container_of(rendered)["resources"]
    for name in ("cpu", "memory"):
        assert 0 < quantity(resources["requests"][name]) <= quantity(resources["limits"][name])
    volumes = deployment_of(rendered)["spec"]["template"]["spec"]["volumes"]
    in_memory = [volume["emptyDir"] for volume in volumes if "emptyDir" in volume]
    assert in_memory
    for volume in in_memory:
        # A file in memory counts as the pod's memory.
        assert quantity(volume["sizeLimit"]) < quantity(resources["limits"]["memory"]) / 4


def test_a_volume_with_bundles_is_where_the_service_looks(rendered: list[dict[str, Any]]) -> None:
    pod, container = deployment_of(rendered)["spec"]["template"]["spec"], container_of(rendered)
    claims = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"] if mount["name"] in claims}
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert set(mounts) == ({environment["CONVOY_MODELS"]} if "CONVOY_MODELS" in environment else set())
    assert all(mount["readOnly"] for mount in mounts.values())


def test_no_image_is_called_latest(rendered: list[dict[str, Any]]) -> None:
    _, _, tag = container_of(rendered)["image"].rpartition(":")
    assert tag
    assert tag != "latest"
