"""Large numbers for people."""

from __future__ import annotations

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(value: float) -> str:
    """Three digits and a prefix: 4231976 → `4.23 M`, 568740352 → `569 M`, 61706 → `61.7 k`, 156 → `156`."""
    for size, prefix in _STEPS:
        if abs(value) >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.{max(0, 3 - len(str(int(abs(scaled) + 0.0005))))}f} {prefix}"
    return f"{value:.3g}"


def times(shape: tuple[int, ...]) -> str:
    """`(64, 56, 56)` → `64×56×56`."""
    return "×".join(str(size) for size in shape)
