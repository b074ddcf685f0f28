from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from models.losses import balanced_weights, mixing, training_loss, validation_loss
from models.recipe import Recipe, resolve_recipe

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -0.2], [1.0, 1.0, 1.0], [-2.0, 0.0, 4.0]])
LABELS = torch.tensor([0, 1, 2, 2])


def recipe(**given: object) -> Recipe:
    return resolve_recipe("lenet5", Path("x"), **given)


def test_cross_entropy_is_the_textbooks() -> None:
    expected = -torch.log_softmax(LOGITS, 1)[range(4), LABELS].mean()
    torch.testing.assert_close(training_loss(recipe(), [1, 1, 2])(LOGITS, LABELS), expected)


def test_label_smoothing_shares_the_label_out() -> None:
    soft = nn.functional.one_hot(LABELS, 3) * 0.9 + 0.1 / 3
    expected = -(soft * torch.log_softmax(LOGITS, 1)).sum(1).mean()
    torch.testing.assert_close(training_loss(recipe(label_smoothing=0.1), [1, 1, 2])(LOGITS, LABELS), expected)


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy())
    assert balanced_weights([1, 1, 2]) == pytest.approx(expected)
    weights = torch.tensor(expected, dtype=torch.float32)
    each = -torch.log_softmax(LOGITS, 1)[range(4), LABELS] * weights[LABELS]
    loss = training_loss(recipe(class_weights="balanced"), [1, 1, 2])(LOGITS, LABELS)
    torch.testing.assert_close(loss, each.sum() / weights[LABELS].sum())


def test_mse_is_between_outputs_and_one_hot_labels() -> None:
    one_hot = nn.functional.one_hot(LABELS, 3).float()
    expected = ((LOGITS - one_hot) ** 2).mean()
    for loss in (training_loss(recipe(loss="mse"), [1, 1, 2]), validation_loss(recipe(loss="mse"))):
        torch.testing.assert_close(loss(LOGITS, LABELS), expected)
        torch.testing.assert_close(loss(LOGITS, one_hot), expected)


def test_validation_is_measured_without_smoothing_and_weights() -> None:
    weighted = recipe(label_smoothing=0.1, class_weights="balanced")
    expected = nn.functional.cross_entropy(LOGITS, LABELS)
    torch.testing.assert_close(validation_loss(weighted)(LOGITS, LABELS), expected)


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_mixed_pictures_have_the_labels_of_both(settings: dict[str, float]) -> None:
    torch.manual_seed(0)
    mix = mixing(recipe(**settings), 3)
    assert mix is not None
    pictures = LABELS.float()[:, None, None, None].expand(4, 3, 8, 8)
    for _ in range(8):
        mixed, soft = mix(pictures, LABELS)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        # The pictures show their label as brightness: the mean of the mixture is the mixture of the labels.
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ torch.tensor([0.0, 1.0, 2.0]))


def test_without_mixing_nothing_mixes() -> None:
    assert mixing(recipe(), 3) is None
