"""The alerts and the dashboard stand over metrics that the service really shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import new_engine, served

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
SUFFIXES = ("_bucket", "_sum", "_count")
NOT_LABELS = {"le"}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "components/alerts/prometheusrule.yaml").read_text())
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DEPLOY / "dashboards/convoy.json").read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    keda = yaml.safe_load((DEPLOY / "components/keda/scaledobject.yaml").read_text())
    for trigger in keda["spec"]["triggers"]:
        yield "keda", trigger["metadata"]["query"]


@pytest.fixture(scope="module")
def scraped(tiny_bundle: Path) -> dict[str, set[str]]:
    """Every metric that a service shows after a request, with the names of its labels."""
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off", shadow="onnx", shadow_share=1)).join()
    with served(engine) as service:
        assert service.post(encode(plain("red"))).status_code == 200
        text = httpx.get(f"{service.url}/metrics").text
    engine.stop()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if kind := re.match(r"# TYPE (\w+) (\w+)", line):
            names = [kind[1] + suffix for suffix in SUFFIXES] if kind[2] == "histogram" else [kind[1]]
            found |= {name: set() for name in names}
        elif sample := re.match(r"(\w+)\{(.*)\} ", line):
            found.setdefault(sample[1], set()).update(re.findall(r'(\w+)="', sample[2]))
    return found


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_every_metric_and_matched_label_exists(scraped: dict[str, set[str]], name: str, expression: str) -> None:
    metrics = re.findall(r"(convoy_\w+)(?:\{([^}]*)\})?", expression)
    assert metrics, name
    for metric, matchers in metrics:
        assert metric in scraped, f"{name}: {metric}"
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= scraped[metric] or not scraped[metric], f"{name}: {metric} has no {labels - scraped[metric]}"


def test_every_alert_says_what_to_do() -> None:
    assert {rule["alert"] for rule in rules()} >= {"ConvoyUnavailable", "ConvoySlow", "ConvoySheds", "ConvoyDrifts"}
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_no_two_panels_share_a_place() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(places)
