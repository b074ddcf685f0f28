from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsMismatch, WeightsUnavailable, WeightsUnreadable
from models.registry import IMAGENET as IMAGENET_PREPROCESS
from models.registry import find
from models.weights import IMAGENET, load_network, read_state_dict, with_classes


@pytest.fixture(scope="module")
def lenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lenet.safetensors"
    save_file(find("lenet5").build(num_classes=7).state_dict(), path)
    return path


def test_the_number_of_classes_is_the_files_own(lenet_file: Path) -> None:
    loaded = load_network(find("lenet5"), str(lenet_file))
    assert (loaded.classes, loaded.source) == (7, "lenet.safetensors")
    torch.testing.assert_close(loaded.network.state_dict(), read_state_dict(lenet_file))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_and_their_usual_wrappings(lenet_file: Path, tmp_path: Path, wrap, prefix: str) -> None:
    state = read_state_dict(lenet_file)
    path = tmp_path / "lenet.pth"
    torch.save(wrap({prefix + key: value for key, value in state.items()}), path)
    torch.testing.assert_close(load_network(find("lenet5"), str(path)).network.state_dict(), state)


def test_weights_of_another_architecture_say_which_keys_differ(lenet_file: Path) -> None:
    with pytest.raises(WeightsMismatch) as caught:
        load_network(find("mobilenet_v2"), str(lenet_file))
    message = str(caught.value)
    assert "not the weights of mobilenet_v2: " in message
    assert "missing (features.0.0.weight, features.0.1.weight" in message
    assert "10 unexpected (c1.bias, " in message
    assert "\n" not in message


def test_another_shape_is_named_with_both(tmp_path: Path) -> None:
    state = dict(find("lenet5").build(num_classes=10).state_dict())
    state["f6.weight"] = torch.zeros(84, 121)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsMismatch, match=r"f6\.weight is \[84, 121\] instead of \[84, 120\]"):
        load_network(find("lenet5"), str(tmp_path / "odd.safetensors"))


class Exploit:
    def __reduce__(self):
        return (Path.touch, (Path("exploited"),))


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Exploit()}, "evil.pth")
    with pytest.raises(WeightsUnreadable, match="weights_only"):
        load_network(find("lenet5"), "evil.pth")
    assert not Path("exploited").exists()


@pytest.mark.parametrize(
    "name", ["missing.safetensors", "missing.pth", "garbage.safetensors", "garbage.pth", "list.pth"]
)
def test_files_that_are_no_weights(tmp_path: Path, name: str) -> None:
    if name.startswith("garbage"):
        (tmp_path / name).write_bytes(b"\x00" * 64)
    if name == "list.pth":
        torch.save([torch.zeros(1)], tmp_path / name)
    with pytest.raises(WeightsUnreadable) as caught:
        load_network(find("lenet5"), str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_the_head_is_kept_only_for_its_own_number_of_classes(lenet_file: Path) -> None:
    entry = find("lenet5")
    kept = with_classes(load_network(entry, str(lenet_file)), entry, 7, keep_head=True)
    torch.testing.assert_close(kept.output.weight, read_state_dict(lenet_file)["output.weight"])
    assert with_classes(load_network(entry, str(lenet_file)), entry, 3, keep_head=True).output.out_features == 3
    fresh = with_classes(load_network(entry, str(lenet_file)), entry, 7, keep_head=False)
    assert not torch.equal(fresh.output.weight, kept.output.weight)


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(WeightsUnavailable, match="the download failed .*--weights PATH"):
        load_network(find("mobilenet_v2"), IMAGENET)


def test_imagenet_weights_bring_labels_and_their_own_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def give(url: str, **options: object) -> dict[str, torch.Tensor]:
        asked.update(options, url=url)
        return dict(find("mobilenet_v2").build(num_classes=1000).state_dict())

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", give)
    loaded = load_network(find("mobilenet_v2"), IMAGENET)
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
    assert loaded.labels is not None
    assert loaded.labels[:2] == ("tench", "goldfish")
    # The V2 weights were trained for a larger picture than the V1 default of the registry.
    assert (loaded.preprocess.resize, IMAGENET_PREPROCESS.resize) == (232, 256)


def test_an_architecture_without_imagenet_weights_says_so() -> None:
    with pytest.raises(WeightsUnavailable, match="torchvision has none"):
        load_network(find("lenet5"), IMAGENET)


def test_real_weights_load_strictly(test_data: Path) -> None:
    for name in ("resnet18", "mobilenet_v2"):
        loaded = load_network(find(name), str(test_data / "weights" / f"{name}_imagenet.safetensors"))
        assert loaded.classes == 1000
    with pytest.raises(WeightsMismatch, match="not the weights of resnet50"):
        load_network(find("resnet50"), str(test_data / "weights" / "resnet18_imagenet.safetensors"))
