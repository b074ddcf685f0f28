"""What is read from an image, and what is said against it."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from bundle.folder import open_bundle
from scripts.container_engine import Engine
from scripts.image import faults, hosts, labels, mislabelled, report, table
from scripts.image_archive import ImageArchive, read_archive
from scripts.sbom import bill
from tests.image.archives import SETTINGS, layer, write_image

STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:1
"""
METADATA = b"Metadata-Version: 2.4\nName: Typing_Extensions\nVersion: 4.16.0\nLicense-Expression: PSF-2.0\n\ntext\n"
MANIFEST = json.dumps(
    {"name": "photos", "version": "3", "artefacts": [{"path": "model.onnx", "sha256": "ab" * 32}]}
).encode()
BASE = {"usr/bin/python3": b"base", "var/lib/dpkg/status": STATUS, "usr/share/old/a": b"12345", "usr/share/old/b": b"1"}
OWN = {
    "app/packages/typing_extensions-4.16.0.dist-info/METADATA": METADATA,
    "app/packages/typing_extensions.py": b"x = 1\n",
    "app/model/manifest.json": MANIFEST,
    "app/service/app.py": b"pass\n",
    "usr/share/old/.wh.a": b"",
}


def image_of(tmp_path: Path, *layers: bytes, settings: dict[str, Any] | None = None) -> ImageArchive:
    base = layer(BASE)
    ids = write_image(tmp_path / "image.tar", [base, *layers], settings)
    return read_archive(tmp_path / "image.tar", ids[:1])


def test_upper_layers_cover_and_hide_lower_ones(tmp_path: Path) -> None:
    upper = layer({"usr/bin/python3": b"longer", "usr/share/old/.wh..wh..opq": b"", "usr/share/old/new": b"12"})
    image = image_of(tmp_path, layer(OWN), upper)
    assert "usr/share/old/a" not in image.files
    assert "usr/share/old/b" not in image.files
    assert image.files["usr/bin/python3"].bytes == 6
    assert image.size(base=True) == len(STATUS)
    own = sum(len(data) for data in OWN.values()) + 6 + 2
    assert image.size(base=False) == own
    assert image.texts["app/service/app.py"] == b"pass\n"
    assert "usr/bin/python3" in dict(image.own())


def test_a_folder_that_is_taken_away_takes_its_files(tmp_path: Path) -> None:
    image = image_of(tmp_path, layer({"usr/share/.wh.old": b""}))
    assert [path for path in image.files if "old" in path] == []


def test_another_base_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tar", [layer(OWN)])
    with pytest.raises(ValueError, match="does not begin"):
        read_archive(tmp_path / "image.tar", ["sha256:00"])


def test_the_bill_names_what_is_installed(tmp_path: Path) -> None:
    image_id = "sha256:" + "0" * 64
    document = bill(image_of(tmp_path, layer(OWN)), image_id)
    found = {component["bom-ref"]: component for component in document["components"]}
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64" in found
    assert found["pkg:pypi/typing-extensions@4.16.0"]["licenses"] == [{"expression": "PSF-2.0"}]
    assert not [ref for ref in found if "gone" in ref]
    (model,) = [component for component in found.values() if component["type"] == "machine-learning-model"]
    assert (model["name"], model["version"], model["components"][0]["name"]) == ("photos", "3", "model.onnx")
    assert document["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    assert uuid.UUID(document["serialNumber"].removeprefix("urn:uuid:"))
    assert document == bill(image_of(tmp_path, layer(OWN)), image_id)
    assert len(bill(image_of(tmp_path, layer({})), image_id)["components"]) == 1


def test_the_bill_follows_its_schema(tmp_path: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    schema = pytest.importorskip("cyclonedx.schema")
    document = bill(image_of(tmp_path, layer(OWN)), "sha256:" + "0" * 64)
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(json.dumps(document)) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("app/packages/torch/__init__.py", "torch: "),
        ("app/packages/torch-2.14.1.dist-info/METADATA", "torch: "),
        ("app/packages/nvidia/cublas/lib/libcublas.so.13", "nvidia: "),
        ("app/packages/pynvml.py", "nvidia: "),
        ("usr/bin/x86_64-linux-gnu-gcc-12", "compilers: "),
        ("usr/bin/make", "compilers: "),
        ("usr/bin/git", "git: "),
        ("app/.git/config", "git: "),
        ("etc/pip.conf", "caches of pip: "),
        ("root/.cache/pip/http/a", "caches of pip: "),
    ],
)
def test_what_nobody_serves_with_is_a_fault(tmp_path: Path, name: str, fault: str) -> None:
    assert faults(image_of(tmp_path, layer(OWN)), set(), gpu=False) == []
    (found,) = faults(image_of(tmp_path, layer(OWN), layer({name: b""})), set(), gpu=False)
    assert found.startswith(fault)


def test_an_image_for_cuda_may_hold_cuda(tmp_path: Path) -> None:
    image = image_of(tmp_path, layer({"usr/lib/libcudart.so.13": b"", "usr/lib/libcublas.so": b""}))
    assert faults(image, set(), gpu=True) == []
    assert faults(image, set(), gpu=False) != []


@pytest.mark.parametrize("user", ["", "root", "0:0", "0", "convoy", "10001"])
def test_the_user_is_two_numbers_and_not_root(tmp_path: Path, user: str) -> None:
    (found,) = faults(image_of(tmp_path, layer(OWN), settings={**SETTINGS, "User": user}), set(), gpu=False)
    assert "user" in found


def test_what_another_user_cannot_read_is_a_fault(tmp_path: Path) -> None:
    (found,) = faults(image_of(tmp_path, layer(OWN, mode=0o640)), set(), gpu=False)
    assert "only its owner reads" in found


def test_an_indexs_address_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://name:secret@pip.example.com/simple")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://packages.example.com/simple\ncert = /run/secrets/ca.crt\n")
    indexes = hosts(config)
    assert indexes == {"pip.example.com", "packages.example.com"}
    assert "pip" not in sys.modules
    told = layer({"app/packages/x.dist-info/direct_url.json": b'{"url": "https://packages.example.com/x.whl"}'})
    assert faults(image_of(tmp_path, layer(OWN)), indexes, gpu=False) == []
    assert "direct_url.json" in faults(image_of(tmp_path, told), indexes, gpu=False)[0]
    leaking = {**SETTINGS, "Env": ["PIP_INDEX_URL=https://pip.example.com/simple"]}
    assert "its settings" in faults(image_of(tmp_path, layer(OWN), settings=leaking), indexes, gpu=False)[0]


def test_a_large_image_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(tmp_path, layer(OWN))
    monkeypatch.setattr("scripts.image.MOST_BYTES", image.size(base=True) + image.size(base=False) - 1)
    assert "MB above" in faults(image, set(), gpu=False)[0]
    assert faults(image, set(), gpu=True) == []


def test_the_report_adds_up(tmp_path: Path) -> None:
    record = report(image_of(tmp_path, layer(OWN)), "sha256:00", "convoy:dev", Engine("podman"), "base")
    assert record["own_bytes"] == sum(record["own_parts"].values())
    assert record["own_parts"]["model"] == len(MANIFEST)
    assert record["unwanted_files"] == dict.fromkeys(record["unwanted_files"], 0)
    assert table(record).splitlines()[-1].startswith("| all |")


def test_labels_tell_of_this_bundle_and_this_commit(tiny_bundle: Path) -> None:
    found = labels(tiny_bundle, "https://example.com/convoy")
    assert found["convoy.bundle"] == open_bundle(tiny_bundle).id
    assert found["org.opencontainers.image.source"] == "https://example.com/convoy"
    assert "org.opencontainers.image.source" not in labels(None, "")
    assert mislabelled(found, tiny_bundle) == []
    (wrong,) = mislabelled(found, None)
    assert "convoy.bundle" in wrong
    # A layer of an earlier build, taken from a cache.
    old = found | {"org.opencontainers.image.revision": "0" * 40}
    assert "revision is 000" in mislabelled(old, tiny_bundle)[0]
