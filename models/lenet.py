"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998.

Two choices differ from the paper, for the reasons given:
- subsampling is plain average pooling, as in nearly every later implementation: the paper's has a trained
  weight and bias per map, which the following convolution can express by itself;
- the output layer is linear with softmax instead of Euclidean RBF units on hand-drawn 7x12 bitmaps, so that
  the network has labels other than characters.
C3 sees all six maps of S2; the paper's connection table saved multiplications on 1998's machines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.manifest import Preprocess
from models.registry import Entry, register


class LeNet5(nn.Module):
    """[N, 3, H, W] → [N, num_classes], H and W from 32 up.

    C5 sees 5x5 of S4, which is all of it at 32x32. On a larger picture it answers at several places, as the paper
    foresees ("if LeNet-5 input were made bigger ..., the feature map dimension would be larger than 1x1"); their
    mean goes on.
    Parameters at 10 classes: C1 6·(5·5+1) = 156, C3 16·(6·5·5+1) = 2,416, C5 120·(16·5·5+1) = 48,120,
    F6 84·(120+1) = 10,164, output 10·(84+1) = 850; together 61,706.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, kernel_size=5)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)
        self.subsample = nn.AvgPool2d(kernel_size=2)

    def forward(self, image: Tensor) -> Tensor:
        # The contract's input is RGB; the three channels of a grey picture are equal, so their mean is the picture.
        grey = image.mean(dim=1, keepdim=True)
        s2 = self.subsample(torch.tanh(self.c1(grey)))
        s4 = self.subsample(torch.tanh(self.c3(s2)))
        c5 = torch.tanh(self.c5(s4)).mean(dim=(2, 3))
        logits: Tensor = self.output(torch.tanh(self.f6(c5)))
        return logits


register(
    Entry(
        name="lenet5",
        title="LeNet-5",
        year=1998,
        paper="LeCun et al., Gradient-Based Learning Applied to Document Recognition",
        build=LeNet5,
        head="output",
        parameters=61_706,
        classes=10,
        preprocess=Preprocess(resize=32, crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        torchvision=False,
        family="lenet",
        backbone=("c1", "c3", "c5", "subsample"),
        cam="c3",  # C5's maps are 1x1
    )
)
