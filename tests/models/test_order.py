from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from models.order import Draw, EvaluationOrder, Place, TrainingOrder, seed_of

counts, worlds, epochs = st.integers(1, 60), st.integers(1, 5), st.integers(0, 9)


def orders(count: int, world: int, per_rank: int, epoch: int, weights: list[float] | None = None) -> list[list[Draw]]:
    found = []
    for rank in range(world):
        order = TrainingOrder(count, world * per_rank, 3, Place(rank, world), weights)
        order.set_epoch(epoch)
        drawn = list(order)
        assert len(drawn) == len(order)
        found.append(drawn)
    return found


@given(counts, worlds, st.integers(1, 8), epochs)
def test_every_picture_is_trained_on_once_an_epoch(count: int, world: int, per_rank: int, epoch: int) -> None:
    drawn = [draw for rank in orders(count, world, per_rank, epoch) for draw in rank]
    times = Counter(draw.picture for draw in drawn)
    assert set(times) == set(range(count))
    assert sum(times.values()) == -(-count // world) * world
    assert {draw.epoch for draw in drawn} == {epoch}


@given(counts, worlds, st.integers(1, 8), epochs)
def test_several_processes_take_the_steps_of_one(count: int, world: int, per_rank: int, epoch: int) -> None:
    size = world * per_rank
    (alone,) = orders(count, 1, size, epoch)
    shared = orders(count, world, per_rank, epoch)
    for step in range(count // size):
        batch = [draw for rank in shared for draw in rank[step * per_rank : (step + 1) * per_rank]]
        assert sorted(batch) == sorted(alone[step * size : (step + 1) * size])


@given(counts, worlds)
def test_every_picture_counts_once_in_an_evaluation(count: int, world: int) -> None:
    ranks = [list(EvaluationOrder(count, Place(rank, world))) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    assert sorted(draw.picture for rank in ranks for draw in rank if draw.counted) == list(range(count))


def test_epochs_differ_and_repeat() -> None:
    (first,), (second,), (again,) = (orders(40, 1, 8, epoch) for epoch in (0, 1, 0))
    assert first == again
    assert [draw.picture for draw in first] != [draw.picture for draw in second]


def test_balanced_drawing_evens_out_the_classes() -> None:
    weights = [1 / 95] * 95 + [1 / 5] * 5
    drawn = [draw.picture for epoch in range(30) for draw in orders(100, 1, 10, epoch, weights)[0]]
    assert len(drawn) == 3000
    assert 0.45 < sum(picture >= 95 for picture in drawn) / 3000 < 0.55


@given(st.tuples(*[st.integers(0, 2**32)] * 3), st.tuples(*[st.integers(0, 2**32)] * 3))
def test_seeds_are_of_all_parts(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert 0 <= seed_of(*one) < 2**63
    assert (seed_of(*one) == seed_of(*other)) == (one == other)
