from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bundle.scores import top_k

few_values = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


@given(arrays(np.float32, st.integers(2, 40), elements=few_values), st.integers(1, 50))
def test_equals_a_stable_sort(probabilities: np.ndarray, k: int) -> None:
    labels = [f"class {index}" for index in range(len(probabilities))]
    expected = sorted(range(len(labels)), key=lambda index: (-probabilities[index], index))[:k]
    answers = top_k(probabilities, labels, k)
    assert [answer.index for answer in answers] == expected
    assert [answer.label for answer in answers] == [labels[index] for index in expected]
    assert [answer.probability for answer in answers] == [float(probabilities[index]) for index in expected]


@pytest.mark.parametrize(("shape", "k"), [((3,), 0), ((4,), 1), ((1, 3), 1)])
def test_refuses_what_does_not_fit(shape: tuple[int, ...], k: int) -> None:
    with pytest.raises(ValueError, match="expected|at least"):
        top_k(np.zeros(shape, dtype=np.float32), ["a", "b", "c"], k)
