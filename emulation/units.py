"""Quantities with units, as scenario files write them: "100Gbit/s", "1.5us", "2MB", "64KiB".

Inside Python everything is a plain float or int in one unit: seconds, bit/s, bytes.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ/%]*)\s*")

_TIME = {"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_RATE = {
    f"{prefix}{unit}": float(factor)
    for prefix, factor in _DECIMAL.items()
    for unit in ("bit/s", "bit", "bps")
}
_SIZE = {f"{prefix}B": factor for prefix, factor in (_DECIMAL | _BINARY).items()} | {"KB": 1000}


def _parse(
    text: str, units: dict[str, float] | dict[str, int], example: str
) -> tuple[float, float]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit, like {example!r}")
    number, unit = match.groups()
    if unit not in units:
        known = ", ".join(name for name in units if name)
        raise ValueError(
            f"{text!r} has no unit that fits here; write it like {example!r} ({known})"
        )
    return float(number), float(units[unit])


def seconds(value: str | float) -> float:
    """Seconds of "1.5us", "20 ms" or a bare number (seconds). Never negative."""
    if isinstance(value, str):
        number, factor = _parse(value, _TIME, "1.5us")
        return number * factor
    if value < 0:
        raise ValueError(f"a time must not be negative, not {value}")
    return float(value)


def bits_per_second(value: str | float) -> float:
    """Bit/s of "100Gbit/s", "400Gbit", "10Gbps" or a bare number (bit/s). Always positive."""
    rate = float(value) if not isinstance(value, str) else None
    if rate is None:
        number, factor = _parse(str(value), _RATE, "100Gbit/s")
        rate = number * factor
    if rate <= 0:
        raise ValueError(f"a rate must be positive, not {value}")
    return rate


def size_in_bytes(value: str | int) -> int:
    """Bytes of "2MB" (decimal), "64KiB" (binary) or a bare integer. Never negative."""
    if isinstance(value, str):
        number, factor = _parse(value, _SIZE, "2MB")
        return round(number * factor)
    if value < 0:
        raise ValueError(f"a size must not be negative, not {value}")
    return int(value)


def show_time(value: float) -> str:
    """`value` seconds for people, e.g. "213.3 us"."""
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.4g} {unit}"
    return f"{value:.4g} s"


def show_size(value: float) -> str:
    """`value` bytes for people, e.g. "2 MB"."""
    for limit, factor, unit in (
        (1e3, 1, "B"),
        (1e6, 1e3, "kB"),
        (1e9, 1e6, "MB"),
        (1e12, 1e9, "GB"),
    ):
        if value < limit:
            return f"{value / factor:.4g} {unit}"
    return f"{value / 1e12:.4g} TB"


def show_rate(value: float) -> str:
    """`value` bit/s for people, e.g. "100 Gbit/s"."""
    for limit, factor, unit in ((1e3, 1, "bit/s"), (1e6, 1e3, "kbit/s"), (1e9, 1e6, "Mbit/s")):
        if value < limit:
            return f"{value / factor:.4g} {unit}"
    return f"{value / 1e9:.4g} Gbit/s"
