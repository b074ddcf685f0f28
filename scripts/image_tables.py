"""What docs/deploy.md shows of docs/measured/image.json and image_memory.json.

.venv/bin/python -m scripts.image_tables
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.image import table

MEASURED = Path(__file__).resolve().parent.parent / "docs" / "measured"


def read(name: str) -> dict[str, Any]:
    """One of the files."""
    return dict(json.loads((MEASURED / name).read_text()))


def sizes() -> str:
    """The image's parts."""
    record = read("image.json")["image"]
    return (
        f"{table(record)}\n\nUnpacked, by `{record['engine']}`: the files that a container sees, each counted once, "
        f"{record['base_bytes'] / 1e6:.0f} MB of them from the base and {record['own_bytes'] / 1e6:.0f} MB of our own."
    )


def checks() -> str:
    """What `make deploy-test` tried."""
    rows = [
        f"| {row['what']} | {'yes' if row['passed'] else 'NO'} | {row['seen']} |"
        for row in read("image.json")["checks"]
    ]
    return "\n".join(["| tried | held | seen |", "|---|---|---|", *rows])


def memory() -> str:
    """What the hostile pictures took."""
    record = read("image_memory.json")
    statuses = ", ".join(f"{count:,} x {status}" for status, count in record["statuses"].items())
    return (
        f"Memory: {record['pictures']} pictures, half of them hostile, over {record['connections']} connections for "
        f"{record['seconds']:.0f} s into a cgroup of {record['limit_bytes'] / 2**20:.0f} MiB without swap: "
        f"{sum(record['statuses'].values()):,} requests ({statuses}), {record['oom_kills']} kills, at most "
        f"{record['resident_peak_bytes'] / 1e6:.0f} MB resident and {record['peak_bytes'] / 1e6:.0f} MB counted by the "
        f"cgroup, {record['ready_bytes'] / 1e6:.0f} MB of it when it was ready."
    )


if __name__ == "__main__":
    print("\n\n".join((sizes(), checks(), memory())))
