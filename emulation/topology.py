"""Fabrics by name: what is joined to what, at which rate and delay.

A host is one network interface; a server with eight of them is eight hosts. Hosts are called h0,
h1, ...; switches as the shape says (leaf0, spine3, tor2.1, agg2.0, core5, rail0.7, n12). Rates are
bit/s or strings like "100Gbit/s"; times seconds or strings like "1us".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import weft._native._core as _core
from weft.emulation import units

_fabric = _core.fabric

Rate = float | str
Duration = float | str

DEFAULT_RATE = "100Gbit/s"
DEFAULT_DELAY = "1us"


def picoseconds(value: Duration) -> int:
    """The native core's unit of time."""
    return round(units.seconds(value) * 1e12)


def _cable(rate: Rate, delay: Duration) -> object:
    return _fabric.Cable(units.bits_per_second(rate), picoseconds(delay))


@dataclass(frozen=True)
class LinkSpec:
    """A link of an arbitrary graph: the names of its ends, its rate and one-way delay; `bundle`:
    how many of them, side by side."""

    a: str
    b: str
    rate: Rate = DEFAULT_RATE
    delay: Duration = DEFAULT_DELAY
    bundle: int = 1


_LINK = ("a", "b", "rate", "delay", "loss", "corruption", "jitter", "weight")


def _restore(
    name: str, hosts: list[str], switches: list[str], tiers: list[int], links: list[dict[str, Any]]
) -> Topology:
    native = _fabric.Topology()
    native.hosts = len(hosts)
    for switch, tier in zip(switches, tiers, strict=True):
        native.add_switch(switch, tier)
    for index, link in enumerate(links):
        native.add_link(link["a"], link["b"], link["rate"], link["delay"])
        for key in _LINK[4:]:
            setattr(native.link(index), key, link[key])
    topology = Topology(native, name)
    topology.rename_hosts(hosts)
    return topology


class Topology:
    """A fabric. Made by one of the shapes below; `set_link` changes single links afterwards.

    Raises ValueError with the number at fault when a shape cannot be.
    """

    def __init__(self, native: object, name: str) -> None:
        self.native = native
        self.name = name
        core = _fabric.Topology(native)
        self.hosts: int = core.hosts
        self.switches: list[str] = [switch.name for switch in core.switches]
        self.tiers: list[int] = [switch.tier for switch in core.switches]
        self.host_names = [f"h{host}" for host in range(self.hosts)]
        self._nodes: dict[str, int] = {}
        self._number()
        self.ends: list[tuple[int, int]] = []
        """Nodes (hosts first, then switches) at both ends of every link."""
        self._between: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index in range(core.link_count):
            link = core.link(index)
            self.ends.append((link.a, link.b))
            self._between[min(link.a, link.b), max(link.a, link.b)].append(index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Topologies travel to other processes and machines, single links' changes included."""
        native: Any = self.native
        links = []
        for index in range(len(self.ends)):
            link = native.link(index)
            links.append({name: getattr(link, name) for name in _LINK})
        return _restore, (self.name, self.host_names, self.switches, self.tiers, links)

    # --- Shapes

    @classmethod
    def leaf_spine(
        cls,
        leaves: int = 4,
        spines: int = 4,
        hosts_per_leaf: int = 4,
        bundle: int = 1,
        planes: int = 1,
        rate: Rate = DEFAULT_RATE,
        delay: Duration = DEFAULT_DELAY,
        uplink_rate: Rate | None = None,
        uplink_delay: Duration | None = None,
    ) -> Topology:
        """Every leaf joined to every spine by `bundle` links; `planes` > 1: that many such fabrics
        side by side, every host in all of them."""
        native = _fabric.leaf_spine(
            leaves=leaves,
            spines=spines,
            hosts_per_leaf=hosts_per_leaf,
            bundle=bundle,
            planes=planes,
            down=_cable(rate, delay),
            up=_cable(uplink_rate or rate, delay if uplink_delay is None else uplink_delay),
        )
        return cls(native, f"leaf-spine {leaves} x {spines}, {leaves * hosts_per_leaf} hosts")

    @classmethod
    def fat_tree(
        cls,
        pods: int = 4,
        pod_tors: int = 2,
        pod_aggregations: int = 2,
        tor_down: int = 2,
        tor_up: int | None = None,
        aggregation_up: int | None = None,
        core_bundle: int = 1,
        rate: Rate = DEFAULT_RATE,
        delay: Duration = DEFAULT_DELAY,
        uplink_rate: Rate | None = None,
        core_rate: Rate | None = None,
        uplink_delay: Duration | None = None,
        core_delay: Duration | None = None,
    ) -> Topology:
        """Three tiers (two when there is one pod). Fewer ports up than down oversubscribe a tier;
        by default none is: tor_up is tor_down, aggregation_up the aggregation's share of it."""
        up = tor_down if tor_up is None else tor_up
        if aggregation_up is None:
            aggregation_up = max(1, pod_tors * up // (pod_aggregations * core_bundle))
        native = _fabric.fat_tree(
            pods=pods,
            pod_tors=pod_tors,
            pod_aggregations=pod_aggregations,
            tor_down=tor_down,
            tor_up=up,
            aggregation_up=aggregation_up,
            core_bundle=core_bundle,
            down=_cable(rate, delay),
            up=_cable(uplink_rate or rate, delay if uplink_delay is None else uplink_delay),
            core=_cable(
                core_rate or uplink_rate or rate, delay if core_delay is None else core_delay
            ),
        )
        return cls(native, f"fat-tree of {pods} pods, {pods * pod_tors * tor_down} hosts")

    @classmethod
    def rail_optimised(
        cls,
        servers: int = 8,
        rails: int = 8,
        group_servers: int = 4,
        spines: int = 8,
        rate: Rate = DEFAULT_RATE,
        delay: Duration = DEFAULT_DELAY,
        uplink_rate: Rate | None = None,
        uplink_delay: Duration | None = None,
    ) -> Topology:
        """Host server * rails + r sits on rail switch r of its group of servers."""
        native = _fabric.rail_optimised(
            servers=servers,
            rails=rails,
            group_servers=group_servers,
            spines=spines,
            down=_cable(rate, delay),
            up=_cable(uplink_rate or rate, delay if uplink_delay is None else uplink_delay),
        )
        return cls(native, f"{rails} rails, {servers * rails} hosts")

    @classmethod
    def dumbbell(
        cls,
        left: int = 4,
        right: int = 4,
        rate: Rate = DEFAULT_RATE,
        delay: Duration = DEFAULT_DELAY,
        neck_rate: Rate | None = None,
        neck_delay: Duration | None = None,
    ) -> Topology:
        """Two switches and one link between them."""
        neck = _cable(neck_rate or rate, delay if neck_delay is None else neck_delay)
        native = _fabric.dumbbell(left=left, right=right, down=_cable(rate, delay), neck=neck)
        return cls(native, f"dumbbell, {left} + {right} hosts")

    @classmethod
    def torus(
        cls,
        extents: Iterable[int] = (4, 4),
        rate: Rate = DEFAULT_RATE,
        delay: Duration = DEFAULT_DELAY,
        host_rate: Rate | None = None,
    ) -> Topology:
        """A torus (with one extent: a ring); one host on every node."""
        shape = list(extents)
        native = _fabric.torus(
            extents=shape, down=_cable(host_rate or rate, delay), side=_cable(rate, delay)
        )
        return cls(native, "torus " + " x ".join(str(extent) for extent in shape))

    @classmethod
    def graph(
        cls, hosts: int | Sequence[str], switches: Iterable[str], links: Iterable[LinkSpec]
    ) -> Topology:
        """Any graph. `hosts`: their number, or names for them. Hosts must be joined to switches,
        not to each other."""
        names = [f"h{host}" for host in range(hosts)] if isinstance(hosts, int) else list(hosts)
        native = _fabric.Topology()
        native.hosts = len(names)
        nodes: dict[str, int] = {}
        joined: set[frozenset[str]] = set()
        for number, name in enumerate(names):
            if name in nodes:
                raise ValueError(f"the name {name!r} is given twice")
            nodes[name] = number
        for name in switches:
            if name in nodes:
                raise ValueError(f"the name {name!r} is given twice")
            nodes[name] = native.add_switch(name, 0)
        for spec in links:
            for end in (spec.a, spec.b):
                if end not in nodes:
                    raise ValueError(f"a link ends at {end!r}, which does not exist")
            if frozenset((spec.a, spec.b)) in joined:
                raise ValueError(
                    f"the link between {spec.a} and {spec.b} is given twice; for several side by "
                    "side say bundle = 2"
                )
            joined.add(frozenset((spec.a, spec.b)))
            for _ in range(spec.bundle):
                native.add_link(
                    nodes[spec.a],
                    nodes[spec.b],
                    units.bits_per_second(spec.rate),
                    picoseconds(spec.delay),
                )
        native.check()
        topology = cls(native, f"graph of {len(names)} hosts")
        topology.rename_hosts(names)
        return topology

    # --- Parts

    def rename_hosts(self, names: Sequence[str]) -> None:
        """Other names than h0, h1, ... Raises ValueError if two nodes would share one."""
        if len(names) != self.hosts:
            raise ValueError(f"{len(names)} names for {self.hosts} hosts")
        before, self.host_names = self.host_names, list(names)
        try:
            self._number()
        except ValueError:
            self.host_names = before
            raise

    def _number(self) -> None:
        nodes: dict[str, int] = {}
        for number, name in enumerate([*self.host_names, *self.switches]):
            if name in nodes:
                raise ValueError(f"the name {name!r} is given twice")
            nodes[name] = number
        self._nodes = nodes

    def node(self, name: str) -> int:
        """Number of a node (hosts first, then switches). Raises ValueError if there is none."""
        if name not in self._nodes:
            examples = ", ".join(
                [f"{self.host_names[0]} .. {self.host_names[-1]}", *self.switches[:3]]
            )
            raise ValueError(f"there is no node {name!r} in this fabric (it has {examples}, ...)")
        return self._nodes[name]

    def node_name(self, node: int) -> str:
        return self.host_names[node] if node < self.hosts else self.switches[node - self.hosts]

    def links_between(self, a: str, b: str) -> list[int]:
        """Numbers of the links that join two nodes. Raises ValueError if there are none."""
        ends = sorted((self.node(a), self.node(b)))
        found = self._between.get((ends[0], ends[1]), [])
        if not found:
            raise ValueError(f"{a} and {b} are not joined by a link")
        return found

    def link_name(self, link: int) -> str:
        a, b = self.ends[link]
        return f"{self.node_name(a)}-{self.node_name(b)}"

    def tier_of_link(self, link: int) -> int:
        """0: host to switch; 1: between switch tiers 0 and 1 (or two of tier 0); 2: above."""
        tiers = [0 if n < self.hosts else self.tiers[n - self.hosts] + 1 for n in self.ends[link]]
        return max(0, max(tiers) - 1) if min(tiers) == 0 else max(1, min(tiers))

    def set_link(
        self,
        a: str,
        b: str,
        *,
        rate: Rate | None = None,
        delay: Duration | None = None,
        loss: float | None = None,
        corruption: float | None = None,
        duplication: float | None = None,
        jitter: Duration | None = None,
        weight: int | None = None,
    ) -> None:
        """Change all links between two nodes. Loss, corruption and duplication are probabilities
        per packet (duplication: in the lab only), weight the share of traffic among equally short
        ways (1 .. 64)."""
        for index in self.links_between(a, b):
            link = self.native.link(index)  # type: ignore[attr-defined]
            if rate is not None:
                link.rate = units.bits_per_second(rate)
            if delay is not None:
                link.delay = picoseconds(delay)
            if loss is not None:
                link.loss = loss
            if corruption is not None:
                link.corruption = corruption
            if duplication is not None:
                link.duplication = duplication
            if jitter is not None:
                link.jitter = picoseconds(jitter)
            if weight is not None:
                link.weight = weight
        self.native.check()  # type: ignore[attr-defined]

    def rates(self) -> list[float]:
        """Bit/s of every link."""
        return [self.native.link(i).rate for i in range(len(self.ends))]  # type: ignore[attr-defined]
