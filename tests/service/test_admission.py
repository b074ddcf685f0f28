from __future__ import annotations

import pytest

from service.admission import Pacer


def test_refusals_go_out_at_once_until_they_come_too_fast() -> None:
    pacer = Pacer(per_second=10, burst=5, longest=1.0)
    delays = [pacer.delay(100.0) for _ in range(30)]
    assert delays[:5] == [0.0] * 5
    assert delays[5:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert max(delays) == 1.0


def test_after_a_quiet_while_they_go_out_at_once_again() -> None:
    pacer = Pacer(per_second=10, burst=5, longest=1.0)
    for _ in range(30):
        pacer.delay(100.0)
    assert pacer.delay(101.9) == 0.0


def test_a_steady_trickle_is_never_held_back() -> None:
    pacer = Pacer(per_second=10, burst=5)
    assert all(pacer.delay(100 + number / 10) == 0.0 for number in range(100))
