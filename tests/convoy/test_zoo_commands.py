"""`convoy zoo`, `describe` and `look` as a person meets them, and the commands of their page."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from models.registry import entries
from tests.convoy.command import Convoy
from tests.pictures import noise

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"


@pytest.fixture
def convoy(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Convoy:
    monkeypatch.chdir(tmp_path)
    noise(80, 60).save("picture.png")
    noise(80, 60).save("photo.jpg")
    return Convoy(capfd, monkeypatch)


def test_zoo_prints_one_line_per_architecture(convoy: Convoy) -> None:
    code, stdout, _ = convoy("zoo")
    assert code == 0
    names = [line.split()[0] for line in stdout.splitlines()[1:]]
    assert sorted(names) == sorted(entries())
    assert re.search(r"^resnet50 +2015 +25\.6 M +4\.089 +224 +80\.86 +V2, V1 *$", stdout, re.MULTILINE)


def test_zoo_as_json_and_as_a_drawing(convoy: Convoy, tmp_path: Path) -> None:
    code, stdout, stderr = convoy("zoo", "--family", "vgg", "--max-params", 133, "--json", "--plot", "zoo.svg")
    assert code == 0
    assert [row["name"] for row in json.loads(stdout)] == ["vgg11", "vgg11_bn"]
    assert "wrote zoo.svg" in stderr
    assert ElementTree.parse(tmp_path / "zoo.svg").getroot().tag.endswith("svg")


def test_describe_prints_idea_layers_and_totals(convoy: Convoy) -> None:
    code, stdout, _ = convoy("describe", "vgg16")
    assert code == 0
    assert "Three 3×3 convolutions see as much as one of 7×7" in stdout
    row = r"^features\.2 +Conv2d +3×3 +1×1 +1×1 +64×224×224 +5×5 +36,928 +0\.0% +1\.85 G +12\.0% *$"
    assert re.search(row, stdout, re.MULTILINE)
    assert "138,357,544 parameters; 15.5 G multiply-accumulates for 224×224 pixels; 16 layers deep" in stdout
    assert "ReLU" not in stdout.split("layers deep")[0].split("layer ", 1)[1]
    assert "ReLU" in convoy("describe", "vgg16", "--all")[1]


def test_describe_as_json(convoy: Convoy) -> None:
    document = json.loads(convoy("describe", "googlenet", "--json")[1])
    assert document["parameters"] == 6_624_904
    assert document["auxiliary_heads"] == ["aux1.fc2", "aux2.fc2"]
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["conv1.conv"]["kernel"] == [7, 7]
    assert layers["maxpool1"]["ceil"] is True
    assert layers["aux1.fc2"]["auxiliary"] is True
    assert sum(layer["parameters_share"] for layer in layers.values()) == pytest.approx(1)


@pytest.mark.parametrize("arch", ["lenet5", "inception_v3", "convnext_tiny", "efficientnet/1.5"])
def test_describe_as_a_page_that_needs_nothing_else(convoy: Convoy, tmp_path: Path, arch: str) -> None:
    assert convoy("describe", arch, "--html", "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert page.count("<polygon") >= 6
    assert not re.search(r"(src|href)=", page)
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page


def test_look_writes_a_folder(convoy: Convoy, tmp_path: Path) -> None:
    code, stdout, _ = convoy("look", "lenet5", "picture.png", "--weights", "none", "--json")
    assert code == 0
    answer = json.loads(stdout)
    assert answer["page"] == "looks/lenet5-picture/look.html"
    assert {path.name for path in (tmp_path / "looks/lenet5-picture").iterdir()} >= {"look.html", "cam.png"}
    assert "exists already" in convoy.refused("look", "lenet5", "picture.png", "--weights", "none")


def test_look_into_a_run(convoy: Convoy, colours: Path) -> None:
    train = ("train", "--arch", "lenet5", "--data", colours, "--out", "run", "--epochs", 1)
    assert convoy(*train)[0] == 0
    code, stdout, _ = convoy(
        "look", "run", "picture.png", "--out", "seen", "--label", "red", "--layers", "c1", "--json"
    )
    assert code == 0
    assert json.loads(stdout)["explained"] == "red"


def test_mistakes_are_one_line(convoy: Convoy, tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    look = ("look", "lenet5", "--weights", "none")
    assert "near: resnet" in convoy.refused("describe", "resnet51")
    assert "near: vgg16" in convoy.refused("look", "vgg-16", "picture.png")
    assert "unknown family 'resnets'" in convoy.refused("zoo", "--family", "resnets")
    assert "expected 2015, or 2014-2017" in convoy.refused("zoo", "--year", "recent")
    assert "ends in .svg" in convoy.refused("zoo", "--plot", "zoo.pdf")
    assert "cannot be written" in convoy.refused("zoo", "--plot", "nowhere/zoo.svg")
    assert "expected a number from 0 to 10" in convoy.refused("describe", "efficientnet/eleven")
    assert "no such data" in convoy.refused(*look, "missing.png")
    assert "not an image" in convoy.refused(*look, "words.png")
    assert "no layer 'c9'" in convoy.refused(*look, "picture.png", "--layers", "c1,c9")
    assert "cannot be drawn" in convoy.refused(*look, "picture.png", "--layers", "output")
    assert "not one of the 10 known labels" in convoy.refused(*look, "picture.png", "--label", "cat")
    assert "no checkpoint folder here" in convoy.refused("look", tmp_path, "picture.png")


def test_pictures_too_small_for_a_network(convoy: Convoy) -> None:
    assert "too small" in convoy.refused("describe", "inception_v3", "--pixels", 20)


def test_timm_names_its_extra(convoy: Convoy) -> None:
    pytest.importorskip("torch")
    try:
        import timm  # noqa: F401
    except ModuleNotFoundError:
        assert "pip install -e '.[timm]'" in convoy.refused("describe", "timm/resnet18")
    else:
        assert convoy("describe", "timm/resnet18")[0] == 0


def blocks() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line]


def test_the_page_has_commands() -> None:
    assert len(blocks()) >= 10


@pytest.mark.parametrize("line", blocks())
def test_the_commands_of_the_page_run(convoy: Convoy, line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "convoy"
    code, _, stderr = convoy(*arguments)
    assert code == 0, stderr
