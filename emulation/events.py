"""Faults on cue: what happens to links, switches and hosts while a workload runs.

An `Event` is what people think of (a link that flaps for a millisecond); `cues` are the atoms that
the fabric knows (down, up, down, up).
"""

from __future__ import annotations

from dataclasses import dataclass

import weft._native._core as _core
from weft.emulation import units
from weft.emulation.topology import Topology, picoseconds

_fabric = _core.fabric

LINK_ACTIONS = (
    "down", "rate", "delay", "loss", "corruption", "duplication", "jitter", "flap",
)  # fmt: skip
SWITCH_ACTIONS = ("down",)
HOST_ACTIONS = ("pause",)


@dataclass(frozen=True)
class Event:
    """One fault. Times in seconds.

    `link` names both ends, `switch` or `host` one node; exactly one of the three is given. `value`:
    bit/s for "rate", seconds for "delay" and "jitter", a probability for "loss", "corruption"
    and "duplication", the period of "flap" in seconds (down for half of it). `lasts` None: to the
    end of the run.
    """

    at: float
    action: str
    link: tuple[str, str] | None = None
    switch: str | None = None
    host: str | None = None
    value: float | str | None = None
    lasts: float | None = None
    direction: str = "both"
    """Of a link's change: "both", "forward" (from the first end to the second), "backward"."""

    def target(self) -> str:
        return "-".join(self.link) if self.link else str(self.switch or self.host)


def cues(event: Event, topology: Topology) -> list[object]:
    """The fabric's cues for one event. Raises ValueError if it does not fit the topology."""
    if sum(x is not None for x in (event.link, event.switch, event.host)) != 1:
        raise ValueError("an event concerns exactly one of link, switch, host")
    if event.link is not None:
        return [
            c for link in topology.links_between(*event.link) for c in _link(event, topology, link)
        ]
    if event.switch is not None:
        node = topology.node(event.switch) - topology.hosts
        if node < 0:
            raise ValueError(f"{event.switch!r} is a host, not a switch")
        return _on_off(event, SWITCH_ACTIONS, "switch_down", "switch_up", node)
    host = topology.node(str(event.host))
    if host >= topology.hosts:
        raise ValueError(f"{event.host!r} is a switch, not a host")
    return _on_off(event, HOST_ACTIONS, "host_pause", "host_resume", host)


def _cue(at: float, kind: str, target: int, value: float = 0.0, side: str = "both") -> object:
    return _fabric.Cue(
        picoseconds(at), getattr(_fabric.CueKind, kind), target, value, getattr(_fabric.Side, side)
    )


def _on_off(event: Event, actions: tuple[str, ...], on: str, off: str, target: int) -> list[object]:
    if event.action not in actions:
        raise ValueError(f"{event.target()} cannot {event.action!r}; there is {', '.join(actions)}")
    made = [_cue(event.at, on, target)]
    if event.lasts is not None:
        made.append(_cue(event.at + event.lasts, off, target))
    return made


def _link(event: Event, topology: Topology, link: int) -> list[object]:
    if event.action not in LINK_ACTIONS:
        raise ValueError(f"a link cannot {event.action!r}; there is {', '.join(LINK_ACTIONS)}")
    if event.action == "down":
        return _on_off(event, ("down",), "link_down", "link_up", link)
    if event.value is None:
        raise ValueError(f"action {event.action!r} needs a value")
    if event.action == "flap":
        return _flap(event, link)
    side = event.direction
    if (
        side != "both"
        and topology.node(event.link[0] if event.link else "") != topology.ends[link][0]
    ):
        side = {"forward": "backward", "backward": "forward"}[side]
    core = topology.native.link(link)  # type: ignore[attr-defined]
    parse, scale, normal = {
        "rate": (units.bits_per_second, 1.0, core.rate),
        "delay": (units.seconds, 1e9, core.delay / 1e3),
        "jitter": (units.seconds, 1e9, core.jitter / 1e3),
        "loss": (_probability, 1.0, core.loss),
        "corruption": (_probability, 1.0, core.corruption),
        "duplication": (_probability, 1.0, core.duplication),
    }[event.action]
    kind = f"link_{event.action}"
    made = [_cue(event.at, kind, link, parse(event.value) * scale, side)]
    if event.lasts is not None:
        made.append(_cue(event.at + event.lasts, kind, link, normal, side))
    return made


def _flap(event: Event, link: int) -> list[object]:
    period = units.seconds(event.value or 0)
    if period <= 0 or event.lasts is None:
        raise ValueError(
            "a flapping link needs a positive period as value, and for how long it flaps"
        )
    made: list[object] = []
    for i in range(max(1, round(event.lasts / period))):
        made.append(_cue(event.at + i * period, "link_down", link))
        made.append(_cue(event.at + (i + 0.5) * period, "link_up", link))
    return made


def _probability(value: float | str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"a probability lies in 0 .. 1, not {value}")
    return number
