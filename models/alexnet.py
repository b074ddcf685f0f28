"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

torchvision's is the one-column variant of Krizhevsky, "One weird trick for parallelizing convolutional neural
networks", 2014: 64-192-384-256-256 maps on one device, without local response normalisation.
"""

from __future__ import annotations

from models.registry import register_torchvision

register_torchvision(
    "alexnet",
    "AlexNet",
    year=2012,
    paper="Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks",
    family="alexnet",
    head="classifier.6",
    backbone=("features", "avgpool"),
    cam="features.11",  # the last convolution's ReLU; the pooling behind it would cost the map its resolution
)
