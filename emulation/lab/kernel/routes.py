"""Shortest paths, and the cables of a kernel-made fabric: plain data, no kernel needed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from weft.emulation.lab.spec import LinkParameters, Spec


@dataclass(frozen=True)
class End:
    """One end of a cable: an interface in a node's namespace. Port 2l is link l's first end."""

    node: int
    port: int
    index: int
    name: str


def ends_of(spec: Spec) -> list[tuple[End, End]]:
    """Of every link both ends; interfaces are numbered from 2 in each namespace (1 is lo)."""
    used = [2] * (len(spec.addresses) + len(spec.switches))
    found = []
    for number, link in enumerate(spec.links):
        pair = []
        for side, node in enumerate((link.a, link.b)):
            name = "eth0" if node < len(spec.addresses) else f"l{number}"
            pair.append(End(node, 2 * number + side, used[node], name))
            used[node] += 1
        found.append((pair[0], pair[1]))
    return found


def ways(spec: Spec) -> list[list[list[int]]]:
    """[node][host]: links on shortest paths, in order of link. Hosts do not forward."""
    hosts, nodes = len(spec.addresses), len(spec.addresses) + len(spec.switches)
    near: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for number, link in enumerate(spec.links):
        near[link.a].append((number, link.b))
        near[link.b].append((number, link.a))
    found: list[list[list[int]]] = [[[] for _ in range(hosts)] for _ in range(nodes)]
    for host in range(hosts):
        distance = {host: 0}
        line = deque([host])
        while line:
            node = line.popleft()
            for _, other in near[node]:
                if other not in distance:
                    distance[other] = distance[node] + 1
                    if other >= hosts:
                        line.append(other)
        for node in range(nodes):
            found[node][host] = [
                number
                for number, other in near[node]
                if distance.get(other, nodes) == distance.get(node, nodes) - 1
                and (other >= hosts or other == host)
            ]
    return found


def impairments(spec: Spec) -> list[str]:
    """What links ask for that takes netem, each kind with one of its links; empty: nothing."""
    found: dict[str, str] = {}
    for link in spec.links:
        for what, asked in (
            ("delay", link.delay), ("jitter", link.jitter), ("corruption", link.corruption),
            ("duplication", link.duplication),
        ):  # fmt: skip
            if asked:
                found.setdefault(what, f"{_where(spec, link)} has a {what}")
    return list(found.values())


def _where(spec: Spec, link: LinkParameters) -> str:
    hosts = len(spec.addresses)
    names = [f"h{n}" if n < hosts else spec.switches[n - hosts][0] for n in (link.a, link.b)]
    return "-".join(names)


def refusals(spec: Spec) -> list[str]:
    """What this scenario asks for that kernel-made links cannot do; empty: nothing."""
    hosts, found = len(spec.addresses), []

    cables = [0] * hosts
    for link in spec.links:
        for node in (link.a, link.b):
            if node < hosts:
                cables[node] += 1
        if link.weight != 1:
            found.append(f"{_where(spec, link)} has a weight")
    found += [f"h{host} has {count} cables" for host, count in enumerate(cables) if count != 1]
    queue = spec.queue
    if queue["ecn_max"] and queue["ecn_min"] != queue["ecn_max"]:
        found.append("queues mark between ecn_min and ecn_max with a probability")
    for key in ("shared_buffer", "pfc_xoff"):
        if queue[key]:
            found.append(f"queues have {key}")
    if spec.forwarding != "hash":
        found.append(f"forwarding is {spec.forwarding!r}")
    for asked, what in (
        (spec.reroute_after is not None, "switches route around failures (reroute_after)"),
        (spec.trains, "trains cross whole"),
        (bool(spec.programs), "switches run P4 programs"),
        (bool(spec.machines), "hosts are virtual machines"),
    ):
        if asked:
            found.append(what)
    return found
