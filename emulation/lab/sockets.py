"""A scenario's transport as sockets can have it, for both clocks.

The lab's processes get it as options of Weft's UDP datapath (times of the wall clock), the
simulator as its own options (times of the model): the same chunks, bursts, windows, timers,
five-tuples and host queues. What is left between a simulated and an emulated run is then what the
hosts themselves cost.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from weft.emulation.lab.errors import LabError
from weft.emulation.lab.spec import default_host_queue
from weft.emulation.policy import Policy, Transport
from weft.emulation.scenario import Scenario

FIRST_PORT = 4793
"""Of Weft's sockets on every host, so that equal seeds mean equal ways through the fabric."""
MOST_PATHS = 256
ETHERNET = 38
"""Bytes around an IP packet, preamble and gap included."""
IPV4_UDP = 28
TCP_HEADERS = 52
"""IPv4 and TCP with time stamps (RFC 7323)."""

# What native/datapath/udp/core_setup.cc makes of the interface's MTU.
ROOM_FOR_IP = 48
"""IPv6 and UDP: a connection's packets fit whatever the address family."""
CHUNK_UNIT = 64
LARGEST_TRAIN = 64_000

# What transport::Config takes, seconds.
LONGEST = {"ack_delay": 1.0, "rto_min": 1.0, "rto_initial": 2.0, "rto_max": 2.0,
           "probe_interval": 10.0, "peer_timeout": 3600.0}  # fmt: skip
SHORTEST = 1e-6


def chunk_size(mtu: int) -> int:
    """Payload of a packet of Weft's UDP datapath on interfaces of this MTU."""
    return (mtu - ROOM_FOR_IP - Transport.HEADER) // CHUNK_UNIT * CHUNK_UNIT


def as_on_sockets(scenario: Scenario) -> Scenario:
    """The scenario as the simulator must run it to be comparable with the lab."""
    if scenario.lab.carrier != "weft":
        # Of TCP only the packets are modelled; its congestion control is the kernel's own.
        chunk = scenario.lab.mtu - TCP_HEADERS
        overhead = ETHERNET + TCP_HEADERS - Transport.HEADER  # packet_overhead adds HEADER again
        transport = dataclasses.replace(
            scenario.transport, chunk_size=chunk, overhead=overhead,
            burst=max(chunk, scenario.transport.burst),
        )  # fmt: skip
        return dataclasses.replace(scenario, transport=transport)
    queues = dataclasses.replace(scenario.queues, control_first=False)  # sockets have one class
    return dataclasses.replace(scenario, transport=_on_sockets(scenario), queues=queues)


def _on_sockets(scenario: Scenario) -> Transport:
    asked, slower = scenario.transport, scenario.lab.dilation
    if asked.pinning != "none" or asked.plan is not None:
        raise LabError(
            f"{scenario.name}: transport.pinning and transport.plan are for the simulator: sockets "
            "know no source routes"
        )
    chunk = chunk_size(scenario.lab.mtu)
    train = max(LARGEST_TRAIN // (chunk + Transport.HEADER), 1) * chunk
    times = {
        name: min(max(getattr(asked, name), SHORTEST / slower), longest / slower)
        for name, longest in LONGEST.items()
    }
    times["rto_max"] = max(times["rto_max"], times["rto_min"])
    times["rto_initial"] = min(max(times["rto_initial"], times["rto_min"]), times["rto_max"])
    return dataclasses.replace(
        asked,
        paths=min(asked.paths, MOST_PATHS),
        chunk_size=chunk,
        burst=train if asked.spread_bursts else min(max(asked.burst, chunk), train),
        ack_every=min(asked.ack_every, asked.window // 2),
        attempts=min(asked.attempts, 255),
        overhead=ETHERNET + IPV4_UDP,
        host_queue=default_host_queue(scenario.lab.mtu),
        port=FIRST_PORT,
        warm=True,
        **times,
    )


def socket_options(scenario: Scenario) -> dict[str, Any]:
    """The scenario's transport as options of weft.transport.Context, `peer_timeout` among them."""
    transport, slower = _on_sockets(scenario), scenario.lab.dilation
    options: dict[str, Any] = {
        "paths": transport.paths,
        "port": FIRST_PORT,
        "window": transport.window,
        "ack_every": transport.ack_every,
        "attempts": transport.attempts,
        "path_timeouts": transport.path_timeouts,
        "link_gbit": _host_rate(scenario) / slower / 1e9,
    }
    if not transport.spread_bursts:  # else it is automatic
        options["burst"] = transport.burst
    for name in LONGEST:
        if name != "peer_timeout":
            options[f"{name}_us"] = max(1, round(getattr(transport, name) * slower * 1e6))
    for kind in ("scheduler", "congestion", "recovery"):
        policy: Policy = getattr(transport, kind)
        options[kind] = policy.name
        for knob, value in policy.parameters.items():
            options[f"{kind}.{knob}"] = _slowed(knob, value, slower)
    return options | {"peer_timeout": transport.peer_timeout * slower}


def _slowed(knob: str, value: float, slower: float) -> float:
    """A policy's own parameter by the wall clock: its name ends in its unit, if it has one."""
    if knob.endswith("_us"):
        return value * slower
    return value / slower if knob.endswith("_gbit") else value


def _host_rate(scenario: Scenario) -> float:
    """Bit/s of payload that a host's interfaces carry together; of the slowest host."""
    topology, transport = scenario.topology, _on_sockets(scenario)
    rates = [0.0] * topology.hosts
    for rate, ends in zip(topology.rates(), topology.ends, strict=True):
        for end in ends:
            if end < topology.hosts:
                rates[end] += rate
    payload = transport.chunk_size / (transport.chunk_size + transport.packet_overhead)
    return payload * min(rates) if min(rates) > 0 else math.inf
