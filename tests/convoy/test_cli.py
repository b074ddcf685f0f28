"""The command line as a person meets it: one line, the right exit code, nothing half-written."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from bundle.folder import MANIFEST, MANIFEST_CHECKSUM, open_bundle, record_file, sha256_of, write_manifest
from tests.convoy.command import Convoy, refused
from tests.pictures import plain
from tests.serving import free_port


def test_help_lists_every_command(convoy: Convoy) -> None:
    text = convoy("--help").stdout
    for command in ("train", "evaluate", "pull", "export", "verify", "predict", "serve", "package", "demo"):
        assert f"  {command} " in text


def test_an_unknown_architecture_lists_near_names(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    refused(convoy.train(colours, tmp_path / "run", arch="mobilenetv2"), "'mobilenetv2'", "near: mobilenet_v2")
    refused(convoy("pull", "resnet19", "--out", tmp_path / "run"), "'resnet19'", "near: resnet18")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_data(convoy: Convoy, tmp_path: Path) -> None:
    empty, single = tmp_path / "empty", tmp_path / "single"
    empty.mkdir()
    (single / "cats").mkdir(parents=True)
    plain("red").save(single / "cats" / "1.png")
    refused(convoy.train(empty, tmp_path / "run"), f"{empty}: no images", "one folder per class")
    refused(convoy.train(single, tmp_path / "run"), "only one class, 'cats'")
    refused(convoy.train(tmp_path / "none", tmp_path / "run"), "no such data")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "single"}


def test_an_unreadable_picture_is_named_or_skipped(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(colours, tmp_path / "data"))
    (data / "train" / "red" / "broken.jpg").write_bytes(b"no picture")
    refused(convoy.train(data, tmp_path / "run"), "1 unreadable image", "broken.jpg", "--skip-bad")
    assert not (tmp_path / "run").exists()
    result = convoy.train(data, tmp_path / "run", "--skip-bad", "--json")
    assert result.returncode == 0
    assert "left out" in result.stderr
    assert "broken.jpg" in result.stderr
    assert json.loads(result.stdout)["metrics"]["n"] == 15
    assert "broken.jpg" in (tmp_path / "run" / "report.html").read_text()


def test_weights_of_another_architecture_say_which_keys_differ(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    import torch

    from models.registry import build

    torch.save(build("lenet5", 10).state_dict(), tmp_path / "lenet.pth")
    result = convoy.train(colours, tmp_path / "run", "--weights", tmp_path / "lenet.pth", arch="mobilenet_v2")
    refused(
        result, "not the weights of mobilenet_v2", "missing (features.0.0.weight", "unexpected (c1.", "check --arch"
    )
    refused(
        convoy.train(colours, tmp_path / "run", "--weights", tmp_path / "none.pth"), "none.pth: not readable as weights"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--transfer", "head"), "transfer=head needs trained weights"),
        (("--transfer", "tail"), "transfer: Input should be"),
        (("--batch-size", "0"), "batch_size"),
        (("--weights", "imagenet"), "ImageNet weights of lenet5 cannot be had"),
    ],
)
def test_settings_that_cannot_be(
    convoy: Convoy, colours: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    refused(convoy.train(colours, tmp_path / "run", *options), message)


def test_a_changed_byte_stops_every_command(convoy: Convoy, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    model = bytearray((bundle / "model.onnx").read_bytes())
    model[100] ^= 1
    (bundle / "model.onnx").write_bytes(model)
    for command in (("verify",), ("predict", tiny_bundle / "golden"), ("serve",), ("package",)):
        name, *rest = command
        refused(convoy(name, bundle, *rest), "model.onnx: the content changed: sha256")


def test_a_newer_manifest_is_refused(convoy: Convoy, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    document = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**document, "schema_version": 99}))
    (bundle / MANIFEST_CHECKSUM).write_text(f"{sha256_of(bundle / MANIFEST)}  {MANIFEST}\n")
    refused(convoy("verify", bundle), "schema_version is 99", "update Convoy")


def test_the_wrong_kind_of_folder(convoy: Convoy, tiny_bundle: Path, tmp_path: Path) -> None:
    refused(convoy("export", tiny_bundle, "--out", tmp_path / "out"), "this is a bundle, a checkpoint was expected")
    refused(convoy("verify", tmp_path), "no bundle folder here")
    refused(
        convoy("export", tiny_bundle, "--to", "onyx", "--out", tmp_path / "out"), "unknown target 'onyx' (near: onnx)"
    )


def test_a_port_in_use_is_one_line(convoy: Convoy, tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(convoy("serve", tiny_bundle, "--port", port), f"127.0.0.1:{port} cannot be listened on", "--port")
        refused(convoy("demo", "--once", "--port", port), f"127.0.0.1:{port} cannot be listened on")


def test_a_target_that_exists_is_kept(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    refused(convoy.train(colours, tmp_path / "thesis"), "exists already", "--overwrite")
    refused(convoy.train(colours, tmp_path / "thesis", "--overwrite"), "no checkpoint folder of Convoy's", "left alone")
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "precious"


def test_usage_errors_are_short_and_exit_with_2(convoy: Convoy) -> None:
    for arguments in (("train",), ("train", "--no-such-option"), ("no-such-command",)):
        result = convoy(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        assert "Error: " in result.stderr


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    plain("red").save(folder / "a, b.png")
    plain("green").save(folder / "more" / "[c].png")
    (folder / "notes.txt").write_text("x")
    return folder


def test_predict_takes_files_folders_and_patterns(convoy: Convoy, tiny_bundle: Path, pictures: Path) -> None:
    for paths in ((pictures,), (pictures / "a, b.png", pictures / "more"), (f"{pictures}/**/*.png",)):
        result = convoy("predict", tiny_bundle, *paths, "--json", "--top-k", 1)
        assert result.returncode == 0
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert {(Path(row["image"]).name, row["predictions"][0]["label"]) for row in rows} == {
            ("a, b.png", "red"),
            ("[c].png", "green"),
        }


def test_predict_answers_with_the_file_that_is_chosen(
    convoy: Convoy, tiny_bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    """The other file's logits are half as large: the same classes with other probabilities."""
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "two"))
    graph = onnx.load(root / "model.onnx")
    (mix,) = (one for one in graph.graph.initializer if one.name == "mix")
    mix.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(mix) / 2, "mix"))
    onnx.save(graph, root / "other.onnx")
    (root / "other.pt").write_bytes(b"x")
    manifest = open_bundle(root).manifest
    others = [
        manifest.artefacts[0].model_copy(update={**record_file(root, name).model_dump(), "target": target})
        for target, name in (("other", "other.onnx"), ("torchscript", "other.pt"))
    ]
    write_manifest(root, manifest.model_copy(update={"artefacts": (*manifest.artefacts, *others)}))
    found = {}
    for options in ((), ("--target", "onnx"), ("--target", "other")):
        result = convoy("predict", root, pictures / "a, b.png", *options, "--json", "--top-k", 1)
        assert result.returncode == 0, result.stderr
        found[options] = json.loads(result.stdout)["predictions"][0]
    assert found[()] == found["--target", "onnx"]
    assert found["--target", "other"]["label"] == "red"
    assert found["--target", "other"]["probability"] < found[()]["probability"]
    refused(convoy("predict", root, pictures, "--target", "torchscript"), "only ONNX files are run here")
    refused(convoy("predict", root, pictures, "--target", "onnx-int8"), "it has onnx, other, torchscript")
    refused(convoy("predict", pictures, "--url", "http://127.0.0.1:1", "--target", "onnx"), "--target does not go with")


def test_predict_writes_csv(convoy: Convoy, tiny_bundle: Path, pictures: Path) -> None:
    (pictures / "zz.png").write_bytes(b"bad")
    result = convoy("predict", tiny_bundle, pictures, "--format", "csv", "--top-k", 2)
    assert result.returncode == 1
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(Path(row["image"]).name, row["rank"], row["label"]) for row in rows] == [
        ("a, b.png", "1", "red"),
        ("a, b.png", "2", "green"),
        ("[c].png", "1", "green"),
        ("[c].png", "2", "blue"),
        ("zz.png", "", ""),
    ]
    assert "not an image" in rows[-1]["error"]


def test_predict_shows_a_table_with_the_bad_file_as_a_row(convoy: Convoy, tiny_bundle: Path, pictures: Path) -> None:
    (pictures / "zz.png").write_bytes(b"bad")
    result = convoy("predict", tiny_bundle, pictures)
    assert result.returncode == 1
    assert "red" in result.stdout
    assert "error: not an image" in " ".join(result.stdout.split())


def test_predict_refuses_a_path_that_is_not_there(convoy: Convoy, tiny_bundle: Path) -> None:
    refused(convoy("predict", tiny_bundle, "no-such-*.png"), "no-such-*.png: no such file, folder or pattern")


def test_the_road_by_hand(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    trained = convoy.train(colours, tmp_path / "runs" / "colours", "--lr", "5e-3", "--epochs", 10)
    assert trained.returncode == 0, trained.stderr
    assert "validation top-1" in trained.stdout
    assert "next: convoy export" in trained.stderr
    out = tmp_path / "bundles" / "colours"
    exported = convoy("export", tmp_path / "runs" / "colours", "--to", "onnx", "--out", out)
    assert exported.returncode == 0, exported.stderr
    assert "top-1 agreement" in exported.stdout
    verified = convoy("verify", out, "--json")
    checks = {check["what"]: check["value"] for check in json.loads(verified.stdout)["checks"]}
    assert 0 <= checks["golden onnx"] < 1e-4
    assert checks["labels"] == 3
    predicted = convoy("predict", out, colours / "val", "--json")
    assert len(predicted.stdout.splitlines()) == 15


def test_the_installed_command_is_this_one() -> None:
    result = subprocess.run([Path(sys.executable).parent / "convoy", "verify", "x"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "error: x: no bundle folder here (expected a folder with a manifest.json)\n"


@pytest.mark.parametrize("name", ["my photos", "_x", "größe", "x" * 140])
def test_a_name_that_cannot_be_is_refused_first(convoy: Convoy, colours: Path, tmp_path: Path, name: str) -> None:
    refused(convoy.train(tmp_path / "no data", tmp_path / name), "the folder name", "use letters, digits")
    refused(convoy("export", tmp_path / "no run", "--out", tmp_path / name), "the folder name")
    refused(convoy("pull", "lenet5", "--weights", "x.pth", "--out", tmp_path / name), "the folder name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["", "1 0", "v/1"])
def test_a_version_that_cannot_be_is_refused(convoy: Convoy, tmp_path: Path, version: str) -> None:
    refused(convoy("export", tmp_path, "--out", tmp_path / "out", "--version", version), f"version '{version}'")


@pytest.mark.parametrize("labels", ["a\n\nc\n", "a\tb\nc\nd\n", "only\n", ""])
def test_labels_that_cannot_be_are_refused(convoy: Convoy, tmp_path: Path, labels: str) -> None:
    (tmp_path / "labels.txt").write_text(labels)
    result = convoy(
        "pull", "lenet5", "--weights", "x.pth", "--labels", tmp_path / "labels.txt", "--out", tmp_path / "r"
    )
    refused(result, "labels.txt", "one printable label per class")


def test_what_the_system_refuses_is_one_line(convoy: Convoy, tiny_bundle: Path, tmp_path: Path) -> None:
    long = "x" * 300
    refused(convoy("verify", long), "File name too long")
    refused(convoy("predict", tiny_bundle, long), "File name too long")
    refused(convoy.train(Path(long), tmp_path / "run"), "File name too long")
    (tmp_path / "file").write_text("x")
    refused(convoy("demo", "--once", "--folder", tmp_path / "file", "--port", free_port()), "Not a directory")
    refused(convoy("serve", tiny_bundle, "--host", "ü" * 70), "cannot be listened on")
    (tmp_path / "latin.csv").write_bytes(b"path,label\n\xff,red\n")
    refused(convoy("verify", tiny_bundle, "--data", tmp_path / "latin.csv"), "not a CSV")


def test_nothing_to_classify_is_an_error(convoy: Convoy, tiny_bundle: Path, tmp_path: Path) -> None:
    refused(convoy("predict", tiny_bundle, tmp_path), "no images there")
    refused(convoy("predict", tiny_bundle, ""), "no such file, folder or pattern")


def test_labels_that_look_like_markup_are_printed_as_they_are(convoy: Convoy, tmp_path: Path) -> None:
    from tests import tiny

    bundle = tmp_path / "odd"
    labels = ("[/b]", ":smile:", "[red]x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "LABELS", labels)
        patch.setattr(tiny, "COLOURS", dict(zip(labels, tiny.COLOURS.values(), strict=True)))
        patch.setattr(tiny, "plain", lambda label, seed: plain("red", seed=seed))
        tiny.write_tiny_bundle(bundle)
    for options in ((), ("--json",), ("--format", "csv")):
        result = convoy("predict", bundle, bundle / "golden" / "0.png", *options)
        assert result.returncode == 0
        for label in labels:
            assert label in result.stdout


def test_a_link_beside_a_bundle_is_not_packaged(tiny_bundle: Path, tmp_path: Path) -> None:
    from bundle.folder import open_bundle
    from service.package import _copy_bundle, bento_name

    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (tmp_path / "secret").write_text("secret")
    (bundle / "extra").symlink_to(tmp_path / "secret")
    _copy_bundle(open_bundle(bundle), tmp_path / "copy")
    assert not (tmp_path / "copy" / "extra").exists()
    assert open_bundle(tmp_path / "copy").id == open_bundle(tiny_bundle).id
    assert bento_name("A" * 100) == "convoy-" + "a" * 56
    assert bento_name("x-") == "convoy-x"


def test_a_checkpoint_is_not_overwritten_by_its_own_bundle(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert convoy.train(colours, run).returncode == 0
    refused(convoy("export", run, "--out", run, "--overwrite"), "no bundle folder of Convoy's", "left alone")
    assert (run / "weights.safetensors").exists()


def test_evaluate_measures_what_training_measured(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "runs" / "colours", tmp_path / "out"
    assert convoy.train(colours, run).returncode == 0
    table = convoy("evaluate", run, "--out", out)
    assert table.returncode == 0, table.stderr
    for row in ("top-1", "macro F1", "mean average precision", "calibration error", "worst classes"):
        assert row in table.stdout
    assert {path.name for path in out.iterdir()} == {"metrics.json", "report.html"}
    printed = convoy("evaluate", run, "--data", colours / "val", "--out", out, "--overwrite", "--json")
    assert json.loads(printed.stdout) == json.loads((out / "metrics.json").read_text())
    assert json.loads(printed.stdout)["top1"] == json.loads((run / "metrics.json").read_text())["top1"]


def test_evaluate_refuses_on_one_line(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert convoy.train(colours, run).returncode == 0
    before = sorted(path.name for path in run.iterdir())
    refused(convoy("evaluate", colours), "no checkpoint folder here")
    refused(convoy("evaluate", run, "--out", run, "--overwrite"), "checksummed", "choose another --out")
    refused(convoy("evaluate", run, "--data", colours / "val" / "red", "--out", tmp_path / "x"), "carry no labels")
    refused(convoy("evaluate", run, "--data", tmp_path / "none", "--out", tmp_path / "x"), "no such data")
    assert sorted(path.name for path in run.iterdir()) == before
    assert not (tmp_path / "x").exists()
