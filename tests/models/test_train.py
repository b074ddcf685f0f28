from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from bundle.errors import TargetExists
from bundle.folder import open_checkpoint
from bundle.manifest import Preprocess
from models.augment import Augment
from models.checkpoint import load_checkpoint
from models.data import read_training_data
from models.datasets import picture_loader
from models.errors import BadPictures, Diverged, PictureLost
from models.fit import Conditions
from models.inference import logits_of
from models.learner import Learner
from models.order import Place, TrainingOrder
from models.recipe import Recipe, resolve_recipe
from models.registry import build, find
from models.stages import Stage
from models.train import Trained, train
from tests.pictures import write_colour_folder

FILES = {"history.csv", "last.ckpt", "metrics.json", "recipe.yaml", "report.html"}


def recipe(data: Path, **given: object) -> Recipe:
    return resolve_recipe("lenet5", data, **{"epochs": 4, "batch_size": 8, **given})


@pytest.fixture(scope="module")
def run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    out = tmp_path_factory.mktemp("runs") / "colours"
    trained = train(recipe(colours, epochs=25, learning_rate=5e-3), out)
    assert trained is not None
    return out, trained


def test_it_learns(run: tuple[Path, Trained]) -> None:
    assert run[1].metrics.top1 >= 0.9


def test_the_checkpoint_folder_is_complete(run: tuple[Path, Trained]) -> None:
    out, trained = run
    opened = open_checkpoint(out)
    assert opened.id == trained.id
    assert {record.path for record in opened.manifest.documents} == FILES
    assert {path.name for path in out.iterdir()} == FILES | {"manifest.json", "manifest.sha256", "weights.safetensors"}
    assert opened.manifest.labels == ("blue", "green", "red")
    assert opened.manifest.metrics == trained.metrics
    assert json.loads((out / "metrics.json").read_text())["top1"] == trained.metrics.top1


def test_the_recipe_in_the_folder_is_the_resolved_one(run: tuple[Path, Trained]) -> None:
    resolved = Recipe.model_validate(yaml.safe_load((run[0] / "recipe.yaml").read_text()))
    assert resolved.preprocess is not None
    assert resolved.model_dump(mode="json") == open_checkpoint(run[0]).manifest.provenance.recipe


def test_the_history_has_a_row_per_epoch(run: tuple[Path, Trained]) -> None:
    with (run[0] / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(25))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert max(float(row["val_accuracy"]) for row in rows) == pytest.approx(run[1].metrics.top1, abs=1e-6)


def test_the_last_checkpoint_needs_no_pickle(run: tuple[Path, Trained]) -> None:
    state = torch.load(run[0] / "last.ckpt", weights_only=True)
    assert state["epoch"] == 24
    assert "network.c1.weight" in state["state_dict"]


def test_the_report_stands_alone(run: tuple[Path, Trained]) -> None:
    page = (run[0] / "report.html").read_text()
    assert "lenet5 on 3 classes" in page
    assert "http" not in page
    assert "<script" not in page


def test_the_reloaded_network_gives_the_metrics_again(run: tuple[Path, Trained], colours: Path) -> None:
    checkpoint = load_checkpoint(run[0])
    pictures = read_training_data(colours, validation_share=0.2, seed=0).validation
    logits = logits_of(
        checkpoint.network, checkpoint.manifest.preprocess, pictures.batches(checkpoint.manifest.preprocess)
    )
    labels = torch.tensor([sample.label for sample in pictures.samples])
    assert float((logits.argmax(1) == labels).float().mean()) == pytest.approx(run[1].metrics.top1, abs=1e-6)


def test_the_same_seed_gives_the_same_weights(colours: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(recipe(colours, seed=seed), tmp_path / name)
        digests.append(open_checkpoint(tmp_path / name).manifest.weights.sha256)
    assert digests[0] == digests[1] != digests[2]


def test_nothing_is_left_when_training_cannot_start(colours: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for colour in ("red", "blue"):
        (data / colour).mkdir(parents=True)
        (data / colour / "bad.png").write_bytes(b"x")
    with pytest.raises(BadPictures):
        train(recipe(data), tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_an_existing_run_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("x")
    with pytest.raises(TargetExists):
        train(recipe(tmp_path / "no such data"), tmp_path / "run")


@pytest.mark.parametrize("augment", ["none", "light"])
def test_a_frozen_backbone_stays_as_it_was(colours: Path, backbone: Path, tmp_path: Path, augment: str) -> None:
    settings = {"weights": str(backbone), "transfer": "head", "augment": augment, "epochs": 1}
    chosen = resolve_recipe(
        "mobilenet_v3_small",
        colours,
        preprocess={"resize": 32, "crop": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        **settings,
    )
    train(chosen, tmp_path / "run")
    before = torch.load(backbone, weights_only=True)
    after = load_checkpoint(tmp_path / "run").network.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert changed == ["classifier.3.weight", "classifier.3.bias"]
    assert after["classifier.3.weight"].shape[0] == 3


def test_full_transfer_moves_the_backbone(colours: Path, backbone: Path, tmp_path: Path) -> None:
    chosen = resolve_recipe(
        "mobilenet_v3_small",
        colours,
        preprocess={"resize": 32, "crop": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        weights=str(backbone),
        transfer="full",
        epochs=1,
    )
    train(chosen, tmp_path / "run")
    after = load_checkpoint(tmp_path / "run").network.state_dict()
    assert not torch.equal(after["features.0.0.weight"], torch.load(backbone, weights_only=True)["features.0.0.weight"])


def test_augmented_pictures_vary_and_keep_their_labels(colours: Path) -> None:
    data = read_training_data(colours, validation_share=0.2, seed=0)
    spec = build_spec()
    loader = picture_loader(data.train, Augment("light", spec), 36, TrainingOrder(36, 36, 7, Place(), None), seed=7)
    first, same = next(iter(loader)), next(iter(loader))
    loader.sampler.set_epoch(1)
    again = next(iter(loader))
    assert first[0].dtype == torch.uint8
    assert first[0].shape == (36, 32, 32, 3)
    assert torch.equal(first[0], same[0])
    assert torch.equal(first[1], same[1])
    assert not torch.equal(first[0].float().mean((0, 1, 2)), again[0].float().mean((0, 1, 2)))
    for pixels, labels in (first, again):
        assert sorted(labels.tolist()) == [0] * 12 + [1] * 12 + [2] * 12
        assert (2 - pixels.float().mean(dim=(1, 2)).argmax(1)).tolist() == labels.tolist()


def build_spec() -> Preprocess:
    return find("lenet5").preprocess


def test_features_and_pictures_go_through_the_same_head(colours: Path) -> None:
    torch.manual_seed(0)
    network = build("lenet5", 3)
    chosen, head = recipe(colours), network.output
    whole = Learner(network, chosen, [Stage((network,), 0)], [12] * 3, build_spec()).eval()
    alone = Learner(head, chosen, [Stage((head,), 0)], [12] * 3, None).eval()
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    seen = {}
    network.output.register_forward_hook(lambda module, inputs, output: seen.update(features=inputs[0]))
    with torch.no_grad():
        torch.testing.assert_close(whole(pictures), alone(seen["features"]))


def test_a_diverged_run_is_not_published(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"in epoch 1 .* lower the learning rate \(it is 1e\+30\)"):
        train(recipe(colours, learning_rate=1e30), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_vanishes_is_named(colours: Path, tmp_path: Path) -> None:
    data = write_colour_folder(tmp_path / "data", train=4, validation=2)
    gone = data / "train" / "red" / "001.png"
    conditions = Conditions(tell=lambda *_: gone.unlink(missing_ok=True))
    with pytest.raises(PictureLost) as caught:
        train(resolve_recipe("lenet5", data, epochs=3), tmp_path / "run", conditions=conditions)
    assert str(caught.value).startswith(f"{gone}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
