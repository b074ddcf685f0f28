"""Pods, cores and money for 1,000 images a second, on paper: the table of docs/deploy.md.

    .venv/bin/python -m scripts.serving_cost --price 0.04

The rate of a pod is what scripts/serving_benchmark.py measured (docs/measured/*.jsonl, eight connections, without
batches as in the image); how full it may get is the autoscaler's target in deploy/overlays/prod. The price is yours.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
MEASURED = {"MobileNetV3-Large": "mobilenet_v3_large.jsonl", "ResNet-50": "resnet50.jsonl"}
CONNECTIONS = 8
WANTED = 1000
PRICE = 0.04
"""Of a core for an hour, in whatever money: an assumption, about what general-purpose nodes are rented for."""


@dataclass(frozen=True)
class Cost:
    """What one network takes. `rate`: images a second of a full pod of `cores`."""

    network: str
    rate: float
    cores: int
    full: float

    @property
    def pods(self) -> int:
        """Each filled to the autoscaler's target, and one for a rollout or a lost node."""
        return math.ceil(WANTED / (self.rate * self.full)) + 1

    def row(self, price: float) -> str:
        """As Markdown."""
        cores = self.pods * self.cores
        per_million = cores * price / (WANTED * 3600) * 1e6
        cells = (self.network, f"{self.rate:.0f}", f"{self.rate * self.full:.0f}", f"{self.pods}", f"{cores}")
        return f"| {' | '.join(cells)} | {cores * price:.2f} | {per_million:.2f} |"


def target() -> float:
    """The share of its cores that the autoscaler lets a pod use."""
    document = yaml.safe_load((ROOT / "deploy/overlays/prod/horizontalpodautoscaler.yaml").read_text())
    return float(document["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]) / 100


def cores() -> int:
    """Of a pod."""
    document = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())
    return int(document["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])


def rate(name: str) -> float:
    """Images a second over HTTP: the in-process limit times the service's share of it."""
    lines = (ROOT / "docs/measured" / name).read_text().splitlines()
    (row,) = [row for row in map(json.loads, lines) if row["connections"] == CONNECTIONS]
    return float(row["limit_per_second"] * row["off"]["share_of_limit"])


def table(price: float = PRICE) -> str:
    """As Markdown."""
    head = "| network | images/s, full pod | at the target | pods | cores | price an hour | price a million images |"
    rows = [Cost(network, rate(name), cores(), target()).row(price) for network, name in MEASURED.items()]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--price", type=float, default=PRICE, help="of a core for an hour")
    print(table(parser.parse_args().price))


if __name__ == "__main__":
    main()
