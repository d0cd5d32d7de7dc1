"""Topologies written for Mininet: subclasses of `Topo` with `build()` load as they are.

    class Pair(Topo):
        def build(self):
            s1 = self.addSwitch("s1")
            for n in (1, 2):
                self.addLink(self.addHost(f"h{n}"), s1, bw=10, delay="5ms")

Hosts are renamed h0, h1, ... in the order of `addHost`, since that is how the lab counts them;
`names` says which is which. Any graph with loops works: the fabric routes, no spanning tree is
needed.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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

    @property
    def names(self) -> dict[str, str]:
        """The topology's names of hosts, by the lab's."""
        return {f"h{number}": name for number, name in enumerate(self._hosts)}

    def topology(self) -> Topology:
        """The fabric. Raises ValueError for a link to nowhere, or given twice."""
        lab = {name: f"h{number}" for number, name in enumerate(self._hosts)}
        # A switch may bear the name that a host gets.
        lab |= {name: f"sw_{name}" if name in lab.values() else name for name in self._switches}
        specs, seen = [], set()
        for a, b, options in self._links:
            for end in (a, b):
                if end not in lab:
                    raise ValueError(f"a link ends at {end!r}, which does not exist")
            if frozenset((a, b)) in seen:
                raise ValueError(f"the link between {a} and {b} is given twice")
            seen.add(frozenset((a, b)))
            rate = float(options.get("bw") or UNLIMITED) * MEGABIT
            specs.append(LinkSpec(lab[a], lab[b], rate, options.get("delay") or 0.0))
        switches = [lab[name] for name in self._switches]
        topology = Topology.graph(len(self._hosts), switches, specs)
        for a, b, options in self._links:
            topology.set_link(
                lab[a], lab[b], loss=float(options.get("loss") or 0) / 100,
                jitter=options.get("jitter") or 0.0,
            )  # fmt: skip
        return topology

    @property
    def queue_capacity(self) -> int | None:
        """Bytes that the largest `max_queue_size` comes to at 1500 bytes a packet."""
        sizes = [int(o["max_queue_size"]) for _, _, o in self._links if o.get("max_queue_size")]
        return max(sizes) * 1500 if sizes else None


def load_class(place: str) -> Topo:
    """An instance of the class in "FILE.py:CLASS", whose `from mininet.topo import Topo` gets
    ours. Raises ValueError when there is no such file or class."""
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
    kind = getattr(loaded, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Topo)):
        raise ValueError(f"{file} has no subclass of Topo named {name!r}")
    return kind()
