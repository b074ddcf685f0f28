from __future__ import annotations

import json
import shutil
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

import export.bundle_writer
from bundle.errors import CannotWrite, TargetExists
from bundle.folder import open_bundle
from export.benchmark import FILE, Benchmark, Measurement, benchmark, entries_of, latency_of
from export.benchmark_files import refuse_files, write_files
from export.bundle_writer import export as write_bundle
from export.errors import ConverterFailed, NothingToTime, TooManyThreads, WorkerDied
from export.latency_plot import LARGEST, plot_of
from export.stopwatch import Contender, in_turn
from export.to_ort import convert
from export.worker import repeat
from models.errors import UnknownLabel


@pytest.fixture(scope="module")
def timed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "timed"
    write_bundle(run, ["onnx", "onnx-fp16"], out, timed=True)
    return out


def measurement(target: str, **changes: object) -> Measurement:
    values = {
        "bundle": "a 1",
        "target": target,
        "precision": "fp32",
        "bytes": 4_000_000,
        "threads": 1,
        "load_ms": 5.0,
        "first_ms": 4.0,
        "p50_ms": 2.0,
        "p95_ms": 3.0,
        "best_batch": 8,
        "best_p50_ms": 13.0,
        "best_p95_ms": 14.0,
        "images_per_second": 600.0,
        "memory_mb": 90.0,
        "top1": 0.8,
        "n": 300,
    }
    return Measurement.model_validate({**values, **changes})


def found(*measurements: Measurement) -> Benchmark:
    return Benchmark(machine="test", cores=2, load_1m=0, rounds=3, measurements=measurements)


def validated(folder: Path) -> float:
    """The checkpoint's top-1, which these files keep."""
    metrics = open_bundle(folder).manifest.metrics
    assert metrics is not None
    return metrics.top1


def test_export_measures_what_it_publishes(timed: Path) -> None:
    manifest = open_bundle(timed).manifest
    record = Benchmark.model_validate_json((timed / FILE).read_text())
    assert FILE in {document.path for document in manifest.documents}
    assert [one.target for one in record.measurements] == ["onnx", "onnx-fp16"]
    for one in record.measurements:
        assert 0 < one.p50_ms <= one.p95_ms
        assert one.images_per_second > 0
        latency = manifest.artefact(one.target).latency
        assert latency is not None
        assert (latency.p50_ms, latency.p95_ms, latency.threads) == (one.p50_ms, one.p95_ms, 1)
        assert one.top1 == pytest.approx(validated(timed), abs=1e-6)
    assert "area: size of the file" in (timed / "report.html").read_text()


def test_a_proven_file_that_cannot_be_timed_is_published(run: Path, tmp_path: Path, monkeypatch) -> None:
    def dead(entries, **options: object) -> Benchmark:
        if any(entry.artefact.target == "onnx-fp16" for entry in entries):
            raise WorkerDied("onnx-fp16", "Killed")
        return found(measurement("onnx"))

    monkeypatch.setattr(export.bundle_writer, "benchmark", dead)
    exported = write_bundle(run, ["onnx", "onnx-fp16"], tmp_path / "bundle", timed=True)
    fp32, fp16 = exported.manifest.artefacts
    assert fp32.latency is not None
    assert fp16.latency is None
    assert exported.untimed == ("onnx-fp16: its runtime ended while it was timed: Killed",)


def test_the_card_has_valid_front_matter(timed: Path) -> None:
    _, front, body = (timed / "MODEL_CARD.md").read_text().split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["pipeline_tag"] == "image-classification"
    assert values["library_name"] == "convoy"
    assert {"onnx", "onnx-fp16", "lenet5"} <= set(values["tags"])
    assert values["datasets"] == ["colours"]
    assert values["model-index"][0]["results"][0]["metrics"][0] == {"type": "accuracy", "value": validated(timed)}
    assert "`model-fp16.onnx`" in body


def test_every_file_and_thread_count_has_a_line(timed: Path, colours: Path) -> None:
    entries = entries_of(timed, colours)
    assert {entry.n for entry in entries} == {15}
    assert [entry.top1 for entry in entries] == [pytest.approx(validated(timed), abs=1e-6)] * len(entries)
    record = benchmark(entries, threads=(1, 2), batches=(1, 2), rounds=1)
    lines = [(one.target, one.threads) for one in record.measurements]
    assert lines == [("onnx", 1), ("onnx-fp16", 1), ("onnx", 2), ("onnx-fp16", 2)]
    for one in record.measurements:
        assert one.best_batch in (1, 2)
        assert one.best_p50_ms <= one.best_p95_ms
        assert one.images_per_second == pytest.approx(1000 * one.best_batch / one.best_p50_ms, rel=1e-2)


def test_nothing_to_time_is_said() -> None:
    with pytest.raises(NothingToTime, match="no artefact"):
        benchmark([])


def test_other_peoples_pictures_are_refused(timed: Path, tmp_path: Path, colours: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").write_bytes(next((colours / "val" / "red").iterdir()).read_bytes())
    with pytest.raises(UnknownLabel):
        entries_of(timed, tmp_path)


def test_the_three_files_say_the_same(tmp_path: Path) -> None:
    record = found(measurement("onnx"), measurement("onnx-int8", bytes=1_000_000, p50_ms=1.0, top1=0.79))
    write_files(tmp_path / "out", record)
    assert Benchmark.model_validate_json((tmp_path / "out" / FILE).read_text()) == record
    svg = ElementTree.fromstring((tmp_path / "out" / "benchmark.svg").read_text())
    assert len(svg.findall(".//{http://www.w3.org/2000/svg}circle")) == 2
    assert "<td>onnx-int8</td>" in (tmp_path / "out" / "benchmark.html").read_text()
    with pytest.raises(TargetExists):
        refuse_files(tmp_path / "out", overwrite=False)
    refuse_files(tmp_path / "out", overwrite=True)
    write_files(tmp_path / "out", found(measurement("onnx", top1=None)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["benchmark.html", FILE]


def test_area_is_size_and_right_is_slower() -> None:
    plot = plot_of(found(measurement("big"), measurement("small", bytes=1_000_000, p50_ms=1.0, top1=0.7)))
    assert plot is not None
    big, small = plot.circles
    assert (big.radius, small.radius) == (LARGEST, LARGEST / 2)
    assert small.x < big.x
    assert small.y > big.y
    assert plot_of(found(measurement("onnx", top1=None))) is None


def test_the_manifest_keeps_the_fewest_threads() -> None:
    latency = latency_of(found(measurement("onnx", threads=2, p50_ms=1.0), measurement("onnx")), "onnx")
    assert latency is not None
    assert (latency.threads, latency.p50_ms) == (1, 2.0)
    assert latency_of(found(measurement("onnx")), "ort") is None


class Recorded:
    """Stands for a contender: writes down when its turn was."""

    def __init__(self, name: str, turns: list[str]) -> None:
        self.name, self.turns = name, turns

    def time(self, batch: int, seconds: float) -> list[float]:
        self.turns.append(self.name)
        return [float(len(self.turns))]


def test_contenders_take_turns_and_the_first_round_is_not_counted() -> None:
    turns: list[str] = []
    times = in_turn({name: Recorded(name, turns) for name in "ab"}, rounds=2)  # type: ignore[arg-type]
    assert turns == ["a", "b"] * 3
    assert times == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_at_least_three_runs_count() -> None:
    assert len(repeat(lambda: time.sleep(0.001), 0)) == 3


def test_a_file_that_cannot_be_loaded_ends_with_its_reason(timed: Path, tmp_path: Path) -> None:
    bundle = open_bundle(timed)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    picture = bundle.path(bundle.manifest.golden[0].tensor)
    with pytest.raises(WorkerDied, match=r"onnx: its runtime ended while it was timed: .*model\.onnx"):
        Contender(tmp_path, bundle.manifest.artefact("onnx"), picture, 1)


def test_a_module_of_the_users_is_not_taken_for_ours(
    timed: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "export.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "onnxruntime.py").write_text("raise SystemExit('the wrong one')\n")
    bundle = open_bundle(timed)
    picture = bundle.path(bundle.manifest.golden[0].tensor)
    monkeypatch.chdir(tmp_path)
    # One with "." in it would ask for the user's own.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with Contender(bundle.root, bundle.manifest.artefact("onnx"), picture, 1) as contender:
        assert contender.load_s > 0
    convert(timed / "model.onnx", tmp_path / "model.ort")
    assert (tmp_path / "model.ort").stat().st_size > 0


def test_the_converters_reason_is_told(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(ConverterFailed, match=r"ort: the converter failed: .*NoSuchOperator"):
        convert(tmp_path / "model.onnx", tmp_path / "model.ort")


def test_the_command_prints_json(timed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from convoy.commands.benchmark import benchmark as command

    command([timed], threads=[1], rounds=1, json=True)
    record = json.loads(capsys.readouterr().out)
    assert [one["target"] for one in record["measurements"]] == ["onnx", "onnx-fp16"]


def test_what_cannot_be_is_refused_before_anything_is_measured(timed: Path, tmp_path: Path) -> None:
    from convoy.commands.benchmark import benchmark as command

    with pytest.raises(TooManyThreads, match=r"--threads 999: expected at most \d+ on this machine"):
        command([timed], threads=[1, 999])
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(CannotWrite, match="file is not a folder that can be written to"):
            command([timed], out=out)


def test_pictures_without_labels_are_said_to_have_none(
    timed: Path, colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from convoy.commands.benchmark import benchmark as command

    shutil.copytree(colours / "val" / "red", tmp_path / "flat")
    command([timed], data=tmp_path / "flat", threads=[1], rounds=1, json=True)
    told = capsys.readouterr()
    assert "its pictures have no labels: accuracy is left out" in " ".join(told.err.split())
    assert {one["n"] for one in json.loads(told.out)["measurements"]} == {0}


def test_the_memory_told_is_not_that_of_whoever_started_the_process(timed: Path) -> None:
    artefact = open_bundle(timed).manifest.artefact("onnx")
    np.save(timed.parent / "picture.npy", np.zeros((32, 32, 3), np.uint8))
    ballast = np.ones(700_000_000, np.uint8)
    with Contender(timed, artefact, timed.parent / "picture.npy", 1) as contender:
        assert 20 < contender.memory_mb < 500
    assert ballast.nbytes > 0
