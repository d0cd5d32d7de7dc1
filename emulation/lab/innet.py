"""Sums in a switch of a lab: puts the aggregation program to work, and its controller beside it.

with Lab(topology, programs=[innet.program("s0")]) as lab:
    with innet.controller(lab, "s0", at="h4", secrets=["s3cret"]) as controller:
        env = {"WEFT_INNET": controller.address, "WEFT_SECRET": "s3cret"}
        lab["h0"].popen(command, env=env)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from weft.emulation.lab.errors import LabError
from weft.emulation.programs import Program

if TYPE_CHECKING:
    from weft.emulation.lab.lab import Lab
    from weft.p4.aggregation import Controller

SWITCH_IP = "10.255.255.254"
SWITCH_MAC = "02:ff:ff:ff:ff:fe"
"""An address that no host of a lab has."""


def program(switch: str) -> Program:
    """The aggregation program for a switch of a lab, 256 values per packet."""
    from weft.p4.aggregation.jobs import PROGRAM_256

    return Program(switch, PROGRAM_256)


@contextmanager
def controller(
    lab: Lab,
    switch: str,
    at: str,
    secrets: Sequence[str],
    most_slots: int = 128,
    routes: bool = True,
) -> Iterator[Controller]:
    """The controller of `switch` for groups with these secrets, reachable at host `at`; with
    `routes`, the switch also forwards what is between hosts. Hosts behind a neighbouring switch are
    at the port towards that."""
    from weft.p4.aggregation import CommandChip, Controller, Jobs, Place, Row
    from weft.p4.aggregation.wire import VALUES

    places = {
        host.ip: Place(_port(lab, switch, host.number), host.address.mac, host.ip)
        for host in lab.hosts
    }

    def run(commands: Sequence[str]) -> list[str]:
        return lab.p4(switch, *commands) if commands else []

    ways = [
        Row("ingress.routes", [(int(IPv4Address(p.ip)), 32)], "ingress.forward", [p.port])
        for p in places.values()
    ]
    listener = lab[at].socket()
    listener.bind((lab[at].ip, 0))
    listener.listen(64)
    own = Place(0, SWITCH_MAC, SWITCH_IP)
    jobs = Jobs(CommandChip(run), own, values=VALUES, fixed=ways if routes else ())
    with Controller(jobs, places, listener, secrets, most_slots) as made:
        yield made


def _port(lab: Lab, switch: str, host: int) -> int:
    """The switch's port through which a host is reached: its own link's, or that to its switch."""
    topology = lab.topology
    node = topology.node(switch)
    neighbours = [b if a == node else a for a, b in topology.ends if node in (a, b)]
    if host in neighbours:
        return neighbours.index(host)
    for port, neighbour in enumerate(neighbours):
        if {host, neighbour} in [{a, b} for a, b in topology.ends]:
            return port
    raise LabError(f"{lab.name}: {topology.node_name(host)} is not near {switch}")
