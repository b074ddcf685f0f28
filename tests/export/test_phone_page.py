"""The folder for phones: whole, proven, and its pictures as the bundle's Python reads them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bundle.classify import Classifier
from bundle.errors import ChecksumMismatch, GoldenMismatch, NotReplaceable, TargetExists
from bundle.folder import MANIFEST, record_file, sha256_of, write_manifest
from bundle.image import decode
from bundle.preprocess import preprocess
from export.errors import PageNotBuilt, PageTakesNoSuchBundle
from export.phone_kit import pictures
from export.phone_page import write_page
from tests.convoy.command import Convoy
from tests.phone.building import write_build
from tests.tiny import LABELS, SPEC, tiny_manifest


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_build(tmp_path_factory.mktemp("web") / "dist")


@pytest.fixture(scope="module")
def page(tiny_bundle: Path, build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages") / "page"
    write_page(tiny_bundle, out, built=build)
    return out


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copied"))


def test_the_manifest_lists_every_file_as_it_is(page: Path) -> None:
    record = json.loads((page / MANIFEST).read_text())
    found = {path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()} - {MANIFEST}
    packed = {f"{file['path']}.{suffix}" for file in record["files"] for suffix in file["encodings"]}
    assert {file["path"] for file in record["files"]} | packed == found
    for file in record["files"]:
        assert file["sha256"] == sha256_of(page / file["path"])
        for suffix, size in file["encodings"].items():
            assert (page / f"{file['path']}.{suffix}").stat().st_size == size


def test_it_holds_the_bundle_byte_for_byte(page: Path, tiny_bundle: Path) -> None:
    for name in (MANIFEST, "manifest.sha256", "labels.txt", "model.onnx", "golden/0.png", "golden/2.tensor.npy"):
        assert (page / "bundle" / name).read_bytes() == (tiny_bundle / name).read_bytes(), name
    packed = (page / "bundle" / f"{MANIFEST}.gz").read_bytes()
    assert gzip.decompress(packed) == (tiny_bundle / MANIFEST).read_bytes()


def test_the_kit_is_what_the_bundle_answers(page: Path, tiny_bundle: Path) -> None:
    cases = json.loads((page / "conformance" / "cases.json").read_text())["cases"]
    assert [case["name"] for case in cases] == [name for name, _ in pictures()]
    session = Classifier(tiny_bundle).session
    for case in cases:
        pixels = preprocess(decode(page / "conformance" / case["image"]), SPEC)
        assert np.array_equal(np.load(page / "conformance" / case["tensor"]), pixels), case["name"]
        answers = np.load(page / "conformance" / case["answers"]["onnx"])
        assert answers.shape == (len(LABELS),)
        assert np.abs(answers - session.run(pixels[np.newaxis])[0]).max() < 1e-6


def test_the_kit_is_the_same_every_time() -> None:
    for (name, first), (again, second) in zip(pictures(), pictures(), strict=True):
        assert name == again
        assert np.array_equal(np.asarray(decode(first)), np.asarray(decode(second))), name


def test_orientations_of_the_kit_differ_and_the_other_profile_is_another() -> None:
    found = {name: data for name, data in pictures() if name.startswith(("exif", "other"))}
    upright = {name: preprocess(decode(data), SPEC).tobytes() for name, data in found.items()}
    assert len({upright[f"exif-{number}.jpg"] for number in range(1, 9)}) == 8
    assert b"ICC_PROFILE" in found["other-profile.jpg"]


def test_the_sizes_are_those_of_the_files(tiny_bundle: Path, build: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    written = write_page(tiny_bundle, out, built=build)
    parts = {part.name: part for part in written.parts}
    runtime = parts["runtime (WebAssembly)"]
    assert (runtime.bytes, runtime.transferred) == (5004, 6)
    assert parts["model (fp32)"].bytes == (out / "bundle" / "model.onnx").stat().st_size
    assert parts["conformance kit"].bytes == sum(
        path.stat().st_size for path in (out / "conformance").iterdir() if path.suffix != ".gz"
    )
    plain, whole = written.first_loads
    assert plain.bytes == sum(parts[name].bytes for name in ("page", "manifest and golden picture", "model (fp32)"))
    assert whole.transferred == plain.transferred + runtime.transferred


def test_what_is_not_built_is_told_on_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PageNotBuilt, match="make phone"):
        write_page(tiny_bundle, tmp_path / "page", built=tmp_path / "nothing")
    assert not (tmp_path / "page").exists()


def test_a_damaged_bundle_gives_no_page(copied: Path, build: Path, tmp_path: Path) -> None:
    data = bytearray((copied / "model.onnx").read_bytes())
    data[-1] ^= 1
    (copied / "model.onnx").write_bytes(data)
    with pytest.raises(ChecksumMismatch):
        write_page(copied, tmp_path / "page", built=build)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied"]


def test_a_bundle_that_answers_otherwise_gives_no_page(copied: Path, build: Path, tmp_path: Path) -> None:
    manifest = tiny_manifest(copied, "copied")
    swapped = np.load(copied / "golden/0.probabilities.npy")[::-1]
    np.save(copied / "golden/0.probabilities.npy", swapped)
    first = manifest.golden[0].model_copy(update={"probabilities": record_file(copied, "golden/0.probabilities.npy")})
    write_manifest(copied, manifest.model_copy(update={"golden": (first, *manifest.golden[1:])}))
    with pytest.raises(GoldenMismatch):
        write_page(copied, tmp_path / "page", built=build)
    assert not (tmp_path / "page").exists()


def test_a_bundle_without_onnx_is_refused(copied: Path, build: Path, tmp_path: Path) -> None:
    manifest = tiny_manifest(copied, "copied")
    other = manifest.artefacts[0].model_copy(update={"target": "ort"})
    write_manifest(copied, manifest.model_copy(update={"artefacts": (other,)}))
    with pytest.raises(PageTakesNoSuchBundle, match="--to onnx,onnx-int8"):
        write_page(copied, tmp_path / "page", built=build)


def test_only_a_page_of_its_own_is_replaced(tiny_bundle: Path, build: Path, copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    write_page(tiny_bundle, out, built=build)
    with pytest.raises(TargetExists):
        write_page(tiny_bundle, out, built=build)
    write_page(tiny_bundle, out, built=build, overwrite=True)
    with pytest.raises(NotReplaceable):
        write_page(tiny_bundle, copied, built=build, overwrite=True)


@pytest.fixture
def convoy(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Convoy:
    return Convoy(capfd, monkeypatch)


def test_the_command_prints_sizes_for_programs_too(
    convoy: Convoy, tiny_bundle: Path, build: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    result = convoy("phone", tiny_bundle, "--out", out, "--page", build, "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["folder"] == str(out)
    assert {part["name"] for part in record["parts"]} >= {"page", "model (fp32)", "conformance kit"}
    table = convoy("phone", tiny_bundle, "--out", out, "--page", build, "--overwrite")
    assert "first load, fp32 with the runtime" in table.stdout
    missing = convoy("phone", tiny_bundle, "--out", out, "--page", tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
