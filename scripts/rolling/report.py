"""Whether a phase lost anything, as a verdict and as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def holds(row: dict[str, Any]) -> bool:
    """Whether a phase lost nothing that need not be lost, by the clients' and by the balancer's count."""
    rolled = "restarts" in row
    whole = row["failed"] == row.get("failed_by_the_balancer") == 0
    return bool(
        row["locust_failures"] == row["failed"]
        and (not rolled or (whole and row["locust_requests"] == row["balancer_requests"]))
        and row.get("recovered", rolled)
        and row.get("ready_without_worker", 0) == 0
        and row.get("workers", 1) == 1
    )


def show(name: str, row: dict[str, Any]) -> None:
    """The phase as a table."""
    console = Console()
    restarts = row.get("restarts", [])
    facts = Table("what", "value", title=name.replace("_", " "))
    for key, value in row.items():
        if key != "restarts":
            facts.add_row(key.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else str(value))
    console.print(facts)
    if restarts:
        table = Table(*restarts[0], title="restarts, seconds")
        for each in restarts:
            table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in each.values()))
        console.print(table)


def rounded(value: Any) -> Any:
    """The same with every float to two places."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 2) if isinstance(value, float) else value
