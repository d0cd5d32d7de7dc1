"""Topologies written for Mininet: subclasses of `Topo` with `build()` load as they are.

    class Pair(Topo):
        def build(self):
            s1 = self.addSwitch("s1")
            for n in (1, 2):
                self.addLink(self.addHost(f"h{n}"), s1, bw=10, delay="5ms")

Names stay, addresses are dealt out in the order of `addHost`. Any graph with loops works: the
fabric routes, no spanning tree is needed.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weft.emulation.policy import Queues
from weft.emulation.topology import LinkSpec, Topology

MEGABIT = 1e6
UNLIMITED = 100_000.0
"""Mbit/s of a link without `bw`."""


class Topo:
    """Mininet's class, as far as topologies need it (mininet/topo.py's public names)."""

    def __init__(self, *args: Any, **params: Any) -> None:
        self._hosts: list[str] = []
        self._switches: list[str] = []
        self._links: list[tuple[str, str, dict[str, Any]]] = []
        self.build(*args, **params)

    def build(self, *args: Any, **params: Any) -> None:
        """What subclasses write."""

    def addHost(self, name: str, **options: Any) -> str:
        self._unique(name)
        self._hosts.append(name)
        return name

    def addSwitch(self, name: str, **options: Any) -> str:
        self._unique(name)
        self._switches.append(name)
        return name

    def addLink(self, node1: str, node2: str, *ports: Any, **options: Any) -> None:
        """`bw` in Mbit/s, `delay` and `jitter` as "5ms", `loss` in per cent, `max_queue_size` in
        packets (the largest of all links becomes the fabric's)."""
        self._links.append((node1, node2, options))

    def hosts(self) -> list[str]:
        return list(self._hosts)

    def switches(self) -> list[str]:
        return list(self._switches)

    def nodes(self) -> list[str]:
        return self._hosts + self._switches

    def links(self) -> Iterable[tuple[str, str]]:
        return [(a, b) for a, b, _ in self._links]

    def _unique(self, name: str) -> None:
        if name in self.nodes():
            raise ValueError(f"the name {name!r} is given twice")

    def topology(self) -> Topology:
        """The fabric. Raises ValueError for a link to nowhere, or given twice."""
        specs, seen = [], set()
        for a, b, options in self._links:
            for end in (a, b):
                if end not in self.nodes():
                    raise ValueError(f"a link ends at {end!r}, which does not exist")
            if frozenset((a, b)) in seen:
                raise ValueError(f"the link between {a} and {b} is given twice")
            seen.add(frozenset((a, b)))
            rate = float(options.get("bw") or UNLIMITED) * MEGABIT
            specs.append(LinkSpec(a, b, rate, options.get("delay") or 0.0))
        topology = Topology.graph(self._hosts, self._switches, specs)
        for a, b, options in self._links:
            topology.set_link(
                a, b, loss=float(options.get("loss") or 0) / 100,
                jitter=options.get("jitter") or 0.0,
            )  # fmt: skip
        return topology

    @property
    def queues(self) -> Queues:
        """Of the whole fabric, as large as the largest `max_queue_size` at 1500 bytes a packet."""
        sizes = [int(o["max_queue_size"]) for _, _, o in self._links if o.get("max_queue_size")]
        return Queues(capacity=max(sizes) * 1500) if sizes else Queues()


def load_class(place: str) -> Topo:
    """An instance of the class in "FILE.py:CLASS", or of what the file's `topos` calls so; its
    `from mininet.topo import Topo` gets ours. Raises ValueError when there is no such thing."""
    file, _, name = place.rpartition(":")
    if not file or not Path(file).is_file():
        raise ValueError(f"{place!r} is not FILE.py:CLASS of an existing file")
    package, module = types.ModuleType("mininet"), types.ModuleType("mininet.topo")
    module.Topo = Topo  # type: ignore[attr-defined]
    before = {key: sys.modules.get(key) for key in ("mininet", "mininet.topo")}
    sys.modules |= {"mininet": package, "mininet.topo": module}
    try:
        spec = importlib.util.spec_from_file_location("weft_user_topology", file)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    finally:
        for key, value in before.items():
            if value is None:
                sys.modules.pop(key, None)
            else:
                sys.modules[key] = value
    made = getattr(loaded, "topos", {}).get(name)  # how `mn --custom` finds them
    if made is not None and isinstance(topo := made(), Topo):
        return topo
    kind = getattr(loaded, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Topo)):
        raise ValueError(f"{file} has no subclass of Topo named {name!r}")
    return kind()
