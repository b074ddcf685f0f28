from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.errors import (
    CannotWrite,
    ChecksumMismatch,
    FolderError,
    ManifestInvalid,
    NewerSchema,
    NotAFolder,
    NotReplaceable,
    SizeMismatch,
    TargetExists,
    UnsafePath,
    WrongKind,
)
from bundle.folder import MANIFEST, MANIFEST_CHECKSUM, open_bundle, open_checkpoint, sha256_of, write_folder
from tests.tiny import write_tiny_bundle


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def rewrite_manifest(bundle: Path, **changes: object) -> None:
    """Change the manifest and its checksum: what is left is the manifest's own word."""
    path = bundle / MANIFEST
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(document))
    (bundle / MANIFEST_CHECKSUM).write_text(f"{sha256_of(path)}  {MANIFEST}\n")


def test_opens_with_the_manifest_as_its_id(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.id == sha256_of(bundle / MANIFEST)
    assert opened.manifest.labels == ("blue", "green", "red")


def test_sha256sum_reads_the_checksum_file(bundle: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", MANIFEST_CHECKSUM], cwd=bundle, check=True, capture_output=True)


def test_a_changed_byte_in_any_file_is_found(bundle: Path) -> None:
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert len(files) == 13
    for path in files:
        original = path.read_bytes()
        for position in (0, len(original) // 2, len(original) - 1):
            changed = bytearray(original)
            changed[position] ^= 1
            path.write_bytes(changed)
            with pytest.raises(FolderError, match=path.name.split(".")[0]):
                open_bundle(bundle)
        path.write_bytes(original)
    open_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "golden" / "1.png").unlink()
    with pytest.raises(UnsafePath, match=r"golden/1\.png: missing"):
        open_bundle(bundle)


def test_a_newer_manifest_is_refused_before_its_fields(bundle: Path) -> None:
    rewrite_manifest(bundle, schema_version=2, invention="of the future")
    with pytest.raises(NewerSchema, match="schema_version is 2, this Convoy reads up to 1"):
        open_bundle(bundle)


def test_the_other_kind_is_told_apart(bundle: Path) -> None:
    with pytest.raises(WrongKind, match="this is a bundle, a checkpoint was expected"):
        open_checkpoint(bundle)
    rewrite_manifest(bundle, kind="checkpoint")
    with pytest.raises(WrongKind, match="convoy export"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"schema_version": "1"}', "null", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_manifest_that_is_none_is_one_line(bundle: Path, content: str | bytes) -> None:
    path = bundle / MANIFEST
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (bundle / MANIFEST_CHECKSUM).write_text(f"{sha256_of(path)}  {MANIFEST}\n")
    with pytest.raises(ManifestInvalid) as caught:
        open_bundle(bundle)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_is_named(bundle: Path) -> None:
    rewrite_manifest(bundle, shoe_size=43)
    with pytest.raises(ManifestInvalid, match="shoe_size"):
        open_bundle(bundle)


@pytest.mark.parametrize("path", ["missing", "empty"])
def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAFolder, match="no bundle folder here"):
        open_bundle(tmp_path / path)


def test_links_are_refused_even_with_the_right_content(bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside.onnx"
    shutil.move(bundle / "model.onnx", target)
    (bundle / "model.onnx").symlink_to(target)
    with pytest.raises(UnsafePath, match="a link"):
        open_bundle(bundle)


def test_a_linked_folder_inside_is_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "golden", tmp_path / "golden")
    (bundle / "golden").symlink_to(tmp_path / "golden")
    with pytest.raises(UnsafePath, match="golden: a link"):
        open_bundle(bundle)


def test_a_pipe_is_refused_without_waiting_for_it(bundle: Path) -> None:
    (bundle / "labels.txt").unlink()
    os.mkfifo(bundle / "labels.txt")
    with pytest.raises(UnsafePath, match="not a regular file"):
        open_bundle(bundle)


def test_a_path_outside_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    document["documents"][0]["path"] = "../labels.txt"
    rewrite_manifest(bundle, documents=document["documents"])
    with pytest.raises(ManifestInvalid, match="plain relative path"):
        open_bundle(bundle)


def test_nothing_appears_when_the_writer_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with write_folder(tmp_path / "new", "bundle") as partial:
            (partial / "half").write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_kept_unless_told_otherwise(bundle: Path) -> None:
    before = open_bundle(bundle).id
    with pytest.raises(TargetExists, match="--overwrite"):
        write_tiny_bundle(bundle)
    assert open_bundle(bundle).id == before


def test_overwriting_replaces_it_whole(bundle: Path) -> None:
    (bundle / "left over").write_text("old")
    with write_folder(bundle, "bundle", overwrite=True) as partial:
        (partial / MANIFEST).write_text("{}")
    assert [path.name for path in bundle.iterdir()] == [MANIFEST]
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_folder_that_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").write_bytes(b"precious")
    with pytest.raises(NotReplaceable, match="left alone"), write_folder(tmp_path / "photos", "bundle", overwrite=True):
        pytest.fail("the block must not run")
    assert (tmp_path / "photos" / "wedding.jpg").read_bytes() == b"precious"


def test_a_failed_replacement_keeps_the_old_one(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_bundle(bundle).id
    original = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if Path(target) == bundle and "old" not in str(self):
            raise OSError(errno.EIO, "I/O error", str(self))
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(CannotWrite), write_folder(bundle, "bundle", overwrite=True) as partial:
        (partial / MANIFEST).write_text("{}")
    assert open_bundle(bundle).id == before


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="No space left"), write_folder(tmp_path / "new", "bundle"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_old_folder_intact(bundle: Path) -> None:
    before = open_bundle(bundle).id
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from bundle.folder import write_folder\n"
        "with write_folder(Path(sys.argv[1]), 'bundle', overwrite=True) as partial:\n"
        "    (partial / 'manifest.json').write_text('{}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(bundle)], check=False)
    assert killed.returncode == -9
    assert open_bundle(bundle).id == before


def test_a_published_folder_can_be_read_by_others(tmp_path: Path) -> None:
    assert write_tiny_bundle(tmp_path / "new").stat().st_mode & 0o777 == 0o755


def test_a_wrong_checksum_says_what_to_do(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("red\ngreen\nblue\n")
    with pytest.raises(ChecksumMismatch, match=r"labels\.txt: the content changed.*export the folder again"):
        open_bundle(bundle)


def test_a_web_app_with_a_manifest_of_its_own_is_left_alone(tmp_path: Path) -> None:
    app = tmp_path / "webapp"
    app.mkdir()
    (app / MANIFEST).write_text('{"name": "a web app", "start_url": "/"}')
    with (
        pytest.raises(NotReplaceable, match="no bundle folder of Convoy's"),
        write_folder(app, "bundle", overwrite=True),
    ):
        pytest.fail("the block must not run")


def test_a_bundle_never_replaces_a_checkpoint(bundle: Path) -> None:
    with pytest.raises(NotReplaceable), write_folder(bundle, "checkpoint", overwrite=True):
        pytest.fail("the block must not run")
    open_bundle(bundle)


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_folder(tmp_path / "new", "bundle"):
        (tmp_path / "missing.jpg").read_bytes()


def test_files_written_for_the_owner_alone_are_opened_to_others(tmp_path: Path) -> None:
    with write_folder(tmp_path / "new", "bundle") as partial:
        (partial / "weights").touch(0o600)
    assert (tmp_path / "new" / "weights").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("changes", [{"schema_version": True}, {"schema_version": None}, {"schema_version": "1"}])
def test_a_version_that_is_none_is_refused(bundle: Path, changes: dict[str, object]) -> None:
    rewrite_manifest(bundle, **changes)
    with pytest.raises(ManifestInvalid, match="schema_version is"):
        open_bundle(bundle)


def test_a_manifest_without_a_kind_is_refused(bundle: Path) -> None:
    rewrite_manifest(bundle, kind=None)
    with pytest.raises(WrongKind):
        open_bundle(bundle)


def test_a_wrong_size_is_found(bundle: Path) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    document["artefacts"][0]["bytes"] += 1
    rewrite_manifest(bundle, artefacts=document["artefacts"])
    with pytest.raises(SizeMismatch, match=r"model\.onnx: \d+ bytes were expected"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("parity", {"max_abs_difference": 0.9}, "outside its own tolerance"),
        ("parity", {"top1_agreement": 0.0}, "outside its own tolerance"),
        ("outputs", [], None),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    bundle: Path, key: str, value: object, message: str | None
) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    artefact = document["artefacts"][0]
    if isinstance(value, dict):
        artefact[key].update(value)
    else:
        artefact[key][0]["shape"] = value
    rewrite_manifest(bundle, artefacts=document["artefacts"])
    with pytest.raises(ManifestInvalid, match=message):
        open_bundle(bundle)


def test_a_bundle_without_labels_txt_is_refused(bundle: Path) -> None:
    rewrite_manifest(bundle, documents=[])
    with pytest.raises(ManifestInvalid, match=r"labels\.txt is missing"):
        open_bundle(bundle)
