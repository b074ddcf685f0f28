"""The imports that DESIGN allows, read from the source; and torch kept out of what is served."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "bundle": set(),
    "models": {"bundle"},
    "export": {"bundle", "models"},
    "service": {"bundle"},
    "convoy": {"bundle", "models", "export", "service"},
    "load_tests": set(),
}
BUNDLE_LIBRARIES = {"numpy", "PIL", "pydantic"}
OPT_IN = {"bundle/onnx_session.py": {"onnxruntime"}, "service/torch_runtime.py": {"torch"}}
HEAVY = ("torch", "torchvision", "lightning", "torchmetrics", "safetensors", "onnx", "onnxscript")


def imported(path: Path) -> set[str]:
    """Top-level names of every import in the file, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, package
    return files


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_arrows(package: str) -> None:
    for path in sources(package):
        ours = imported(path) & set(ALLOWED) - {package}
        assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {ours - ALLOWED[package]}"


def test_the_contract_needs_three_libraries() -> None:
    for path in sources("bundle"):
        name = str(path.relative_to(ROOT))
        others = imported(path) - sys.stdlib_module_names - {"bundle"} - BUNDLE_LIBRARIES
        assert others <= OPT_IN.get(name, set()), f"{name} imports {others}"


def test_every_package_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(ALLOWED)


@pytest.mark.parametrize("package", ["bundle", "service"])
def test_no_file_of_the_served_packages_names_torch(package: str) -> None:
    for path in sources(package):
        assert imported(path) & set(HEAVY) <= OPT_IN.get(str(path.relative_to(ROOT)), set()), path


BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.mark.parametrize(
    "statement",
    ["import bundle", "import service", "import service.app", "import service.torch_runtime", "import bundle.classify"],
)
def test_imports_without_torch(statement: str) -> None:
    program = BLOCK.format(heavy=HEAVY) + statement
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_block_blocks() -> None:
    result = subprocess.run(
        [sys.executable, "-c", BLOCK.format(heavy=HEAVY) + "import models.train"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "blocked: " in result.stderr


def test_a_missing_extra_names_the_pip_line(tiny_bundle: Path) -> None:
    program = BLOCK.format(heavy=HEAVY) + "from convoy.main import main; sys.argv[1:] = sys.argv[2:]; main()"
    command = ["train", "--arch", "lenet5", "--data", "x", "--out", "y"]
    result = subprocess.run([sys.executable, "-c", program, "-", *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "error: this command needs lightning: pip install -e '.[train]'\n"


@pytest.mark.parametrize("command", [("predict", "--json"), ("verify", "--data")])
def test_predicting_and_verifying_need_no_torch(tiny_bundle: Path, command: tuple[str, str]) -> None:
    program = BLOCK.format(heavy=HEAVY) + "from convoy.main import main; sys.argv[1:] = sys.argv[2:]; main()"
    name, option = command
    arguments = [name, str(tiny_bundle), option, str(tiny_bundle / "golden")]
    result = subprocess.run([sys.executable, "-c", program, "-", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_no_module_is_named_like_a_library_it_could_shadow() -> None:
    assert not (ROOT / "service.py").exists()
    for package in ALLOWED:
        for path in sources(package):
            assert path.stem not in {"onnx", "torch", "bentoml", "numpy", "typing", "logging"}, path


def test_the_models_folder_is_not_swallowed_by_an_ignore_file() -> None:
    files = [str(path.relative_to(ROOT)) for path in sources("models")]
    result = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == ""
