"""Every command block of README and docs is run, as written, in a folder like a reader's.

Those of docs/zoo.md run in tests/convoy/test_zoo_commands.py.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torchvision import models as torchvision_models

from export.phone_page import BUILT
from models.registry import build
from tests.models.test_archives import pack
from tests.models.test_idx import write_pair
from tests.models.test_named_datasets import write_mnist
from tests.pictures import COLOURS, plain
from tests.serving import free_port, server

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "phone/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = {"bash", "python"}
SHOWN = {"json", "kotlin", "swift"}


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    assert text.count("```") % 2 == 0, page
    found = [Block(page, language, body) for language, body in BLOCK.findall(text)]
    assert 2 * len(found) == text.count("```"), f"{page}: a block without a language"
    return found


def test_every_block_is_run_or_known_to_be_shown() -> None:
    for page in PAGES:
        assert {block.language for block in blocks(page)} <= RUN | SHOWN


def write_photos(root: Path, classes: list[str], count: int = 6) -> None:
    for index, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            colour = list(COLOURS)[index % len(COLOURS)]
            plain(colour, 60 + number, 50, 10 * index + number).save(root / name / f"{name}-{number}.png")


def write_data_sets(home: Path) -> None:
    """What docs/data.md trains on: a zip, a table, idx files, a data set in torchvision's cache."""
    pack(home / "photos", home / "pictures.zip")
    photos = sorted((home / "photos").glob("*/*.png"))
    lines = [f"{file.relative_to(home)},{file.parent.name}" for file in photos]
    (home / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    write_pair(home / "digits")
    write_mnist(home / "datasets" / "fashion_mnist", "FashionMNIST")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: a clone (its folders linked), photos, and torchvision's download as if it had been done."""
    home = tmp_path_factory.mktemp("reader")
    for name in ("load_tests", "docs"):
        (home / name).symlink_to(ROOT / name)
    (home / ".venv" / "bin").mkdir(parents=True)
    (home / ".venv" / "bin" / "activate").write_text("")
    write_photos(home / "photos", ["ants", "bees", "wasps"])
    plain("red", 80, 60).save(home / "photo.jpg")
    (home / "pictures.csv").write_text("path,class_index\nphoto.jpg,5\n" + "photos/ants/ants-0.png,7\n")
    write_data_sets(home)
    cache = home / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(0)
    url = torchvision_models.get_model_weights("mobilenet_v2").DEFAULT.url  # type: ignore[attr-defined]
    torch.save(build("mobilenet_v2", 1000).state_dict(), cache / Path(url).name)
    (home / "runs" / "letters").mkdir(parents=True)
    from safetensors.torch import save_file

    save_file(build("lenet5", 2).state_dict(), home / "runs" / "letters" / "weights.safetensors")
    (home / "letters.txt").write_text("a\nb\n")
    return home


@pytest.fixture(scope="module")
def environment(reader: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "TORCH_HOME": str(reader / "torch"),
        "BENTOML_HOME": str(reader / "bentoml"),
        "CONVOY_DATASETS": str(reader / "datasets"),
        "BENTOML_DO_NOT_TRACK": "True",
        "CONVOY_MAX_WAIT": "20",
    }


def run(block: Block, reader: Path, environment: dict[str, str], port: int) -> None:
    text = block.text.replace(":3000", f":{port}").replace(":5557", f":{free_port()}")
    command = ["bash", "-euo", "pipefail", "-c", text] if block.language == "bash" else [sys.executable, "-c", text]
    result = subprocess.run(command, cwd=reader, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{block.page}:\n{block.text}\n{result.stdout}\n{result.stderr}"


@contextmanager
def served(block: Block, reader: Path, environment: dict[str, str]) -> Iterator[int]:
    """`convoy serve …` of a block, in the background, on a free port."""
    port = free_port()
    arguments = [part for part in shlex.split(block.text) if part not in ("--port", "3000")]
    with server([*arguments, "--port", str(port)], reader / "serve.log", port, environment, cwd=reader):
        yield port


def walk(page: str, reader: Path, environment: dict[str, str]) -> int:
    """Run the page's blocks in order; what follows a `convoy serve` block is run against it. Returns how many."""
    pending = [block for block in blocks(page) if block.language in RUN]
    port = 0
    for number, block in enumerate(pending):
        if block.text.startswith("convoy serve"):
            with served(block, reader, environment) as port:
                for later in pending[number + 1 :]:
                    run(later, reader, environment, port)
            break
        if "make " not in block.text:
            run(block, reader, environment, port)
    return len(pending)


@pytest.fixture(scope="module")
def readme(reader: Path, environment: dict[str, str]) -> int:
    return walk("README.md", reader, environment)


def test_the_readme_works_as_written(readme: int) -> None:
    assert readme == 6


@pytest.mark.parametrize(
    "page", [f"docs/{name}.md" for name in ("data", "train", "evaluate", "export", "benchmark", "serve")]
)
def test_a_page_works_as_written(readme: int, page: str, reader: Path, environment: dict[str, str]) -> None:
    assert walk(page, reader, environment) >= 3


def test_the_load_test_page_works_as_written(readme: int, reader: Path, environment: dict[str, str]) -> None:
    serve = next(block for block in blocks("README.md") if block.text.startswith("convoy serve"))
    with served(serve, reader, environment) as port:
        for block in blocks("docs/load-test.md"):
            run(block, reader, environment, port)


def test_the_operators_page_works_as_written(readme: int, reader: Path, environment: dict[str, str]) -> None:
    assert walk("docs/operate.md", reader, environment) == 3


@pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="phone/web/dist is not built: make phone")
def test_the_phones_page_works_as_written(readme: int, reader: Path, environment: dict[str, str]) -> None:
    assert walk("docs/phone.md", reader, environment) == 2
    assert (reader / "pages" / "photos" / "index.html").is_file()
    assert walk("phone/README.md", reader, environment) == 1
    assert (reader / "pages" / "photos-app" / "conformance" / "cases.json").is_file()
    names = {path.name for path in (reader / "bundles" / "photos-app").iterdir()}
    assert {"manifest.json", "golden", "model.onnx", "model.pte"} <= names


def test_the_phones_figures_are_the_measured_ones() -> None:
    """Sizes and agreement of docs/phone.md against what scripts/measure_phone.py wrote."""
    text = (ROOT / "docs/phone.md").read_text()
    measured = json.loads((ROOT / "docs/measured/phone.json").read_text())
    rows = dict(re.findall(r"^\| ([a-z][^|]+) \| ([0-9,]+ \| [0-9,]+) \|$", text, re.MULTILINE))
    sizes = {part["name"]: f"{part['bytes']:,} | {part['transferred']:,}" for part in measured["sizes"]}
    assert len(rows) == 10
    assert rows == {name: sizes[name] for name in rows}
    fp32, int8 = (measured["agreement"][name] for name in ("fp32", "int8"))
    assert min(fp32["equal_pixels"], int8["equal_pixels"]) == fp32["pictures"]
    said = (
        f"all pixels of {fp32['equal_pixels']} pictures equal; same first class for {fp32['same_top1']} of "
        f"{fp32['pictures']} with fp32 and for {int8['same_top1']} of {int8['pictures']} with int8"
    )
    assert said in text
    differing = {case["picture"] for case in measured["conformance_int8"] if case["problem"] or case["pixels_max"]}
    assert differing == {"exif-6.webp", "over-16-megapixels.jpg", "plain.tif"}


def section(name: str) -> str:
    """What stands between the marks of docs/phone.md."""
    found = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", (ROOT / "docs/phone.md").read_text(), re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


def test_the_phones_times_are_the_measured_ones() -> None:
    """And the reason that docs/phone.md gives is what the profile shows."""
    time = json.loads((ROOT / "docs/measured/phone.json").read_text())["time"]
    written = runpy.run_path(str(ROOT / "scripts" / "phone_sections.py"))
    assert section("time") == written["time_section"](time)
    fp32, int8 = (written["_grouped"](time["profile"]["kinds"][name]) for name in ("fp32", "int8"))
    for group in ("dense convolutions", "depthwise convolutions"):
        assert fp32[group][0] == int8[group][0]
        assert int8[group][1] > 0.9 * fp32[group][1]
    (dense, depthwise) = (
        int8[f"{kind} convolutions"][1] - fp32[f"{kind} convolutions"][1] for kind in ("dense", "depthwise")
    )
    assert depthwise > max(dense, fp32["depthwise convolutions"][1] / 2)
    operators = time["profile"]["kinds"]["int8"]
    assert {name.partition(",")[0] for name in operators if "Conv" in name} == {"QLinearConv"}
    assert operators["QuantizeLinear"]["nodes"] == operators["DequantizeLinear"]["nodes"] == 2
    assert time["profile"]["relaxed_dot_products_in_the_runtime"] == 0
    assert all(0.5 < one["int8_speed_of_fp32"] < 0.7 for one in time["page"])


def test_the_cost_of_another_resize_is_the_measured_one() -> None:
    records = json.loads((ROOT / "docs/measured/phone_resizes.json").read_text())
    written = runpy.run_path(str(ROOT / "scripts" / "phone_sections.py"))
    assert section("resizes") == written["resize_section"](records)
    mild = [
        record["ways"][way][precision]["changed"]
        for record in records
        for way in ("bilinear without antialias", "Lanczos")
        for precision in ("fp32", "int8")
    ]
    assert f"Every way changes answers: {min(mild)} to {max(mild)} of 300" in (ROOT / "docs/phone.md").read_text()
    mobilenet, resnet = (record["ways"] for record in records)
    for ways in (mobilenet, resnet):
        for precision in ("fp32", "int8"):
            rough = ways["exact, of a rougher JPEG decoder"][precision]
            assert rough["changed"] == min(way[precision]["changed"] for name, way in ways.items() if name != "exact")
            assert rough["gain_95"][0] < 0 < rough["gain_95"][1]
    assert mobilenet["bilinear without antialias"]["fp32"]["gain_95"][0] > 0
    assert all(
        resnet[way]["fp32"]["gain"] < 0 for way in ("bilinear without antialias", "nearest pixel", "area average")
    )


def test_every_make_target_in_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z-]+)", "".join(b.text for b in blocks(page)))}
    assert named >= {"demo", "test", "check", "format", "test-all"}
    for name in named:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            if not target.startswith("http"):
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_the_settings_table_is_the_settings() -> None:
    from service.settings import PREFIX, Settings

    named = set(re.findall(r"^\| `(CONVOY_[A-Z_]+)`", (ROOT / "docs/serve.md").read_text(), re.MULTILINE))
    assert named == {PREFIX + name.upper() for name in Settings.model_fields}


def test_the_error_table_is_the_error_table() -> None:
    from service.problems import STATUS

    text = (ROOT / "docs/serve.md").read_text()
    rows = re.findall(r"^\| ([0-9, ]+?)(?: \+ `Retry-After`)? \|", text, re.MULTILINE)
    named = {int(status) for row in rows for status in row.split(", ")}
    assert named == {status.value for status in STATUS.values()}
