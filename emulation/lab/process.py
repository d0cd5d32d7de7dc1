"""The fabric process: builds the namespaces, runs the native fabric, and holds both until its lab
ends or dies. `python -m weft.emulation.lab.process FD`, where FD is one end of a socket pair.

Requests are tuples (name, arguments), answers ("ok", value) or ("error", text); file descriptors
follow their answer. When the other end closes, however its process ended, every process that still
runs in one of the hosts' namespaces is killed, and with this process the namespaces go.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from types import FrameType
from typing import Any

import weft._native._core as _core
from weft.emulation.lab import echo, reaper
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.kernel import fabric as kernel
from weft.emulation.lab.namespaces import Site, inside
from weft.emulation.lab.place import Place
from weft.emulation.lab.spec import Spec

RING_FRAMES_PER_HOST = 256
RING_FRAMES = (1024, 16384)
ETHERNET_HEADER = 14
LARGEST_TRAIN = 65535


def main() -> int:
    connection = Connection(int(sys.argv[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C concerns the lab, which ends us in order
    signal.signal(signal.SIGTERM, _leave)
    try:
        fabric = FabricProcess(connection.recv())
    except (EOFError, SystemExit):
        return 0
    except LabError as error:
        connection.send(("error", str(error)))
        return 1
    except Exception as error:
        connection.send(("error", f"{type(error).__name__}: {error}"))
        return 1
    try:
        connection.send(("ok", fabric.facts()))
        fabric.serve(connection)
    except (EOFError, OSError, SystemExit):
        pass
    finally:
        fabric.end()
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


class FabricProcess:
    """One site and the emulator that joins it."""

    def __init__(self, spec: Spec) -> None:
        place = Place.find()
        self.emulator: Any
        if spec.kernel:
            self.site, self.emulator = kernel.build(spec, place.others)
            self.kind = self.emulator.kind
            self.scheduling = "softirq" + (", switches elsewhere" if self.site.steered else "")
            place = Place(None, 0, "")
        else:
            machines, self.kind = spec.machines, "weft fabric over AF_PACKET"
            self.site = Site.build(spec.addresses, spec.mtu, spec.trains, place.others, machines)
            self.scheduling = place.text + (", receivers elsewhere" if self.site.steered else "")
            self.emulator = _emulator(spec, self.site)
        self._thread = threading.Thread(target=self._run, args=(place,), daemon=True)
        self._thread.start()
        self._switches = _programs(spec, self.emulator)
        self._requests: dict[str, Callable[..., Any]] = {
            "report": self.emulator.report,
            "port_stats": self.emulator.port_stats,
            "schedule": self.emulator.schedule if spec.kernel else self._schedule,
            "capture": self.emulator.capture,
            "end_capture": self.emulator.end_capture,
            "ping": self._ping,
            "processes": lambda: reaper.processes(set(self.site.inodes)),
            "kill": self._kill,
            "read": self._read,
            "socket_drops": self._socket_drops,
            "p4": self._p4,
        }

    def _run(self, place: Place) -> None:
        place.take()
        self.emulator.run()

    def facts(self) -> dict[str, Any]:
        """What the lab needs to know: file descriptors and inodes of the hosts' namespaces."""
        return {
            "fabric": self.kind,
            "scheduling": self.scheduling,
            "namespaces": self.site.hosts,
            "inodes": self.site.inodes,
        }

    def serve(self, connection: Connection) -> None:
        """Answer requests until the lab hangs up (EOFError)."""
        while True:
            name, arguments = connection.recv()
            try:
                if name == "socket":
                    with self._socket(*arguments) as made:
                        connection.send(("ok", None))
                        send_handle(connection, made.fileno(), None)
                elif name == "tap":
                    connection.send(("ok", None))
                    send_handle(connection, self.site.taps[arguments[0]], None)
                else:
                    connection.send(("ok", self._requests[name](*arguments)))
            except (EOFError, SystemExit):
                raise
            except Exception as error:
                connection.send(("error", f"{type(error).__name__}: {error}"))

    def end(self) -> None:
        """Kill what runs in the hosts, then stop the fabric."""
        reaper.kill(set(self.site.inodes))
        self.emulator.stop()
        self._thread.join(timeout=5)

    def _schedule(self, cues: list[tuple[int, str, int, float, str]]) -> None:
        native = _core.fabric
        self.emulator.schedule(
            [
                native.Cue(at, getattr(native.CueKind, kind), target, value,
                           getattr(native.Side, side))
                for at, kind, target, value, side in cues
            ]
        )  # fmt: skip

    def _socket(self, host: int, family: int, kind: int, protocol: int) -> socket.socket:
        with inside(self.site.hosts[host], self.site.home):
            return socket.socket(family, kind, protocol)

    def _ping(
        self, pairs: list[tuple[int, str]], count: int, interval: float, timeout: float
    ) -> list[list[float | None]]:
        sockets: dict[int, socket.socket] = {}
        try:
            for host, _ in pairs:
                if host not in sockets:
                    sockets[host] = self._socket(
                        host, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
                    )
            return echo.ping([(sockets[h], to) for h, to in pairs], count, interval, timeout)
        finally:
            for used in sockets.values():
                used.close()

    def _p4(self, switch: str, commands: list[str]) -> list[str]:
        """simple_switch_CLI commands for a running program, and what they say."""
        line = self._switches[switch]
        return [text for command in commands for text in line.run(command)]

    def _kill(self, host: int) -> None:
        reaper.kill({self.site.inodes[host]})

    def _socket_drops(self) -> int:
        """UDP datagrams that the hosts' sockets had no room for, since the hosts came up."""
        drops = 0
        for host in range(len(self.site.hosts)):
            lines = self._read(host, "/proc/net/snmp").splitlines()
            names, values = [line.split()[1:] for line in lines if line.startswith("Udp:")]
            drops += int(values[names.index("RcvbufErrors")])
        return drops

    def _read(self, host: int, path: str) -> str:
        """A file below /proc/net or /proc/sys/net, as the host sees it."""
        real = path.replace("/proc/net/", "/proc/thread-self/net/")
        with (
            inside(self.site.hosts[host], self.site.home),
            open(real, encoding="ascii") as file,  # noqa: PTH123
        ):
            return file.read()


def _programs(spec: Spec, emulator: Any) -> dict[str, Any]:
    """Compiles the P4 programs, fills their tables and puts them into the running fabric. Returns
    their command lines, which know groups and nodes from one command to the next."""
    if not spec.programs:
        return {}
    from weft.p4.switch import Switch
    from weft.p4.switch.commands import CommandLine

    lines = {}
    for node, name, source, commands in spec.programs:
        switch = Switch.load(source)
        lines[name] = CommandLine(switch)
        if commands is not None:
            lines[name].run_file(Path(commands))
        emulator.run_program(node, *switch.entry_points())
    return lines


def _emulator(spec: Spec, site: Site) -> Any:
    fabric, emulator = _core.fabric, _core.emulator
    topology = fabric.Topology()
    topology.hosts = len(spec.addresses)
    for name, tier in spec.switches:
        topology.add_switch(name, tier)
    for number, link in enumerate(spec.links):
        topology.add_link(link.a, link.b, link.rate, link.delay)
        native = topology.link(number)
        native.loss, native.corruption = link.loss, link.corruption
        native.duplication, native.jitter = link.duplication, link.jitter
        native.weight = link.weight
    options = emulator.EmulatorOptions()
    for key, value in spec.queue.items():
        setattr(options.fabric.queue, key, value)
    options.fabric.seed = spec.seed
    options.fabric.forwarding = getattr(fabric.Forwarding, spec.forwarding)
    options.fabric.host_queue_capacity = spec.host_queue
    if spec.reroute_after is not None:
        options.fabric.reroute_after = spec.reroute_after
    options.frame_size = LARGEST_TRAIN if spec.trains else spec.mtu + ETHERNET_HEADER
    low, high = RING_FRAMES
    options.ring_frames = min(max(RING_FRAMES_PER_HOST * topology.hosts, low), high)
    if spec.trains:
        options.ring_frames = low
    options.trimmed_bytes = spec.trimmed_bytes
    options.spin = spec.spin
    ports = [
        emulator.EdgePort(
            interface=port,
            mac=list(bytes.fromhex(address.mac.replace(":", ""))),
            ipv4=int.from_bytes(socket.inet_aton(address.ipv4), "big"),
            ipv6=list(socket.inet_pton(socket.AF_INET6, address.ipv6)),
        )
        for port, address in zip(site.ports, spec.addresses, strict=True)
    ]
    return emulator.Emulator(topology, options, ports)


if __name__ == "__main__":
    sys.exit(main())
