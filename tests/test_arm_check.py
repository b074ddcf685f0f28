"""x86 against Arm: the comparison itself, and all of it where the tools are there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
NAMES = ["golden/0.png", "golden/1.png", "kit/a.png"]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("arm_root", "arm_check"):
        monkeypatch.setitem(sys.modules, name, None)  # forgotten again after the test
        load(name)
    return sys.modules["arm_check"]


def answers(script: ModuleType, **changed: Any) -> Any:
    record = {
        "pictures": NAMES,
        "targets": {"onnx": {"precision": "fp32", "golden": {"difference": 0.0, "problem": None}}},
    }
    given = {
        "pixels": np.zeros((3, 2, 2, 3), np.uint8),
        "probabilities": {"onnx": np.array([[0.9, 0.1], [0.5002, 0.4998], [0.5002, 0.4998]], np.float32)},
        "record": record,
    }
    return script.Answers(**{**given, **changed})


def test_equal_answers_agree(script: ModuleType) -> None:
    here = answers(script)
    found = script.compare(here, answers(script))
    assert [(one.pictures_of, one.pictures, one.same_top1) for one in found] == [("golden", 2, 2), ("kit", 1, 1)]
    assert script.problems(found, here) == []


def test_one_other_pixel_is_no_agreement(script: ModuleType) -> None:
    pixels = np.zeros((3, 2, 2, 3), np.uint8)
    pixels[2, 1, 1, 1] = 1
    there = answers(script, pixels=pixels)
    assert script.problems(script.compare(answers(script), there), there) == [
        "onnx, kit: 1 of 1 pictures have other pixels"
    ]


@pytest.mark.parametrize("wrong", [0.88, np.nan])
def test_a_probability_beyond_the_tolerance_is_no_agreement(script: ModuleType, wrong: float) -> None:
    probabilities = answers(script).probabilities["onnx"].copy()
    probabilities[0, 0] = wrong
    there = answers(script, probabilities={"onnx": probabilities})
    (line,) = script.problems(script.compare(answers(script), there), there)
    assert line.startswith("onnx, golden: probabilities differ by ")


@pytest.mark.parametrize(("at", "agrees"), [(1, False), (2, True)])
def test_a_near_tie_may_flip_but_on_no_golden_picture(script: ModuleType, at: int, agrees: bool) -> None:
    probabilities = answers(script).probabilities["onnx"].copy()
    probabilities[at] = probabilities[at, ::-1]
    there = answers(script, probabilities={"onnx": probabilities})
    found = script.compare(answers(script), there)
    assert [flip.picture for one in found for flip in one.flips] == [NAMES[at]]
    assert (script.problems(found, there) == []) is agrees


def test_a_golden_answer_that_did_not_come_is_a_problem(script: ModuleType) -> None:
    there = answers(script)
    there.record["targets"]["onnx"]["golden"] = {"difference": None, "problem": "golden/0.png: other"}
    assert script.problems(script.compare(answers(script), there), there) == ["onnx: golden/0.png: other"]


def test_other_pictures_are_refused(script: ModuleType) -> None:
    there = answers(script, record={**answers(script).record, "pictures": NAMES[:2]})
    with pytest.raises(script.OtherPictures, match="answered 2 pictures, expected the 3"):
        script.compare(answers(script), there)


def test_missing_tools_are_one_line(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    root = sys.modules["arm_root"]
    monkeypatch.setattr(root.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(root.shutil, "which", lambda name, path=None: None if name == "debootstrap" else name)
    with pytest.raises(root.CannotEmulate, match=r"not found: debootstrap \("):
        root.check_tools()


def test_a_folder_of_somebody_else_is_left_alone(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sys.modules["arm_root"]
    monkeypatch.setattr(root, "check_tools", lambda: None)
    monkeypatch.setattr(root, "recipe", lambda: {"libraries": {}})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(root.NotAnArmRoot):
        root.arm_root(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_run_that_was_stopped_is_begun_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sys.modules["arm_root"]
    monkeypatch.setattr(root, "check_tools", lambda: None)
    monkeypatch.setattr(root, "recipe", lambda: {"libraries": {}})

    def stop(folder: Path, _: object) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(root, "_fill", stop)
    with pytest.raises(KeyboardInterrupt):
        root.arm_root(tmp_path / "arm64")
    assert not (tmp_path / "arm64").exists()
    monkeypatch.setattr(root, "_fill", lambda folder, _: (folder / "root").mkdir())
    made = root.arm_root(tmp_path / "arm64")
    assert sorted(path.name for path in made.iterdir()) == ["arm-root.json", "root"]


def test_processors_add_up_in_the_record(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "arm.json"
    for cpu in ("a", "b"):
        script._write(out, "net", {"bundle": "1", "cpus": {cpu: []}})
    assert list(json.loads(out.read_text())["net"]["cpus"]) == ["a", "b"]
    script._write(out, "net", {"bundle": "2", "cpus": {"c": []}})
    assert list(json.loads(out.read_text())["net"]["cpus"]) == ["c"]


def test_the_pages_table_is_the_measured_one(script: ModuleType) -> None:
    docs = SCRIPTS.parent / "docs"
    measured = json.loads((docs / "measured" / "arm.json").read_text())
    assert script.table(measured) in (docs / "phone.md").read_text()


@pytest.mark.slow
def test_arm_answers_as_x86_and_a_wrong_expectation_is_found(
    script: ModuleType, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sys.modules["arm_root"]
    try:
        root.check_tools()
    except root.CannotEmulate as error:
        pytest.skip(str(error))
    command = ["arm_check.py", str(tiny_bundle), "--cpu", "cortex-a72", "--out", str(tmp_path / "arm.json")]
    monkeypatch.setattr(sys, "argv", command)
    assert script.main() == 0
    (record,) = json.loads((tmp_path / "arm.json").read_text()).values()
    assert [line["pictures_of"] for line in record["cpus"]["cortex-a72"]] == ["golden", "kit"]
    honest = script.answers_here

    def wrong(*arguments: Any) -> Any:
        found = honest(*arguments)
        found.probabilities["onnx"][0] = found.probabilities["onnx"][0, ::-1]
        return found

    monkeypatch.setattr(script, "answers_here", wrong)
    assert script.main() == 1
