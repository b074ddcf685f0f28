from __future__ import annotations

import torch

from models.describe import describe
from models.lenet import LeNet5


def test_the_parameters_that_its_docstring_derives() -> None:
    found = {layer.name: layer.parameters for layer in describe("lenet5").layers if layer.parameters}
    assert found == {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "output": 850}
    assert sum(found.values()) == 61_706
    for layer, parameters in found.items():
        assert f"{parameters:,}" in (LeNet5.__doc__ or ""), layer


def test_the_papers_map_sizes() -> None:
    sizes = {layer.name: layer.output for layer in describe("lenet5").layers}
    assert (sizes["c1"], sizes["subsample"], sizes["c3"], sizes["subsample (2)"], sizes["c5"]) == (
        *((6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)),
        (120, 1, 1),
    )


def test_on_a_larger_picture_it_answers_for_the_mean_place() -> None:
    torch.manual_seed(0)
    network = LeNet5().eval()
    # Two places side by side: C5 sees 32x32 windows 4 pixels apart.
    picture = torch.rand(1, 3, 32, 36)
    with torch.no_grad():
        c5 = [torch.tanh(network.c5(_s4(network, picture[..., left : left + 32]))).flatten(1) for left in (0, 4)]
        expected = network.output(torch.tanh(network.f6(torch.stack(c5).mean(0))))
        torch.testing.assert_close(network(picture), expected)


def _s4(network: LeNet5, picture: torch.Tensor) -> torch.Tensor:
    s2 = network.subsample(torch.tanh(network.c1(picture.mean(1, keepdim=True))))
    return network.subsample(torch.tanh(network.c3(s2)))
