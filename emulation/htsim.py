"""The interchange files of the htsim family of simulators: connection matrices (.cm) and fat-trees
(.topo), read and written.

A `.cm` lists flows ("3->7 id 1 start 0 size 2000000"); a flow may fire triggers when it is sent or
received, and wait for one; a trigger is a oneshot or a barrier of several firings. Times are
picoseconds, sizes bytes. A `.topo` describes two or three tiers by radix, rate and latency.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from weft.emulation.topology import Topology
from weft.emulation.workload import Workload

_FLOW = re.compile(r"(\d+)->(\d+)((?:\s+\w+\s+\d+)*)\s*")
_TRIGGER = re.compile(r"trigger\s+id\s+(\d+)\s+(oneshot|multishot|barrier)(?:\s+count\s+(\d+))?\s*")
_FLOW_KEYS = {"id", "start", "size", "trigger", "send_done_trigger", "recv_done_trigger", "prio"}
_HEADER = re.compile(r"(Nodes|Connections|Triggers|Failures)\s+(\d+)\s*")


class InterchangeError(ValueError):
    """A .cm or .topo file is malformed; the text names file and line."""


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InterchangeError(f"{path}: cannot be read: {error}") from None
    lines = (
        (i, line.partition("#")[0].strip()) for i, line in enumerate(text.splitlines(), start=1)
    )
    return [(i, line) for i, line in lines if line]


def read_cm(path: Path) -> tuple[Workload, int]:
    """A connection matrix as a workload, and the number of hosts that it is made for.

    Raises InterchangeError for a line that is neither, a host out of range, a missing trigger.
    """
    header: dict[str, int] = {}
    flows: list[tuple[int, int, int, dict[str, int]]] = []
    triggers: dict[int, str] = {}
    for number, line in _numbered_lines(path):
        if match := _HEADER.fullmatch(line):
            header[match[1]] = int(match[2])
        elif match := _TRIGGER.fullmatch(line):
            triggers[int(match[1])] = match[2]
        elif match := _FLOW.fullmatch(line):
            words = match[3].split()
            fields = {key: int(value) for key, value in zip(words[::2], words[1::2], strict=True)}
            if unknown := fields.keys() - _FLOW_KEYS:
                raise InterchangeError(f"{path}:{number}: unknown word {min(unknown)!r}")
            flows.append((number, int(match[1]), int(match[2]), fields))
        else:
            raise InterchangeError(
                f"{path}:{number}: neither a flow, a trigger nor a header: {line!r}"
            )
    return _workload(path, header, flows, triggers), header["Nodes"]


def _workload(
    path: Path,
    header: dict[str, int],
    flows: list[tuple[int, int, int, dict[str, int]]],
    triggers: dict[int, str],
) -> Workload:
    if "Nodes" not in header:
        raise InterchangeError(f"{path}: has no line 'Nodes N'")
    if header.get("Connections", len(flows)) != len(flows):
        raise InterchangeError(
            f"{path}: says {header['Connections']} connections, but has {len(flows)}"
        )
    work = Workload()
    work.begin(path.stem)
    firing: defaultdict[int, list[int]] = defaultdict(list)
    for number, source, destination, fields in flows:
        for host in (source, destination):
            if host >= header["Nodes"]:
                raise InterchangeError(
                    f"{path}:{number}: host {host} of {header['Nodes']} does not exist"
                )
        m = work.add(
            source, destination, fields.get("size", 0), start=fields.get("start", 0) * 1e-12
        )
        for key in ("send_done_trigger", "recv_done_trigger"):
            if key in fields:
                firing[fields[key]].append(m)
    for m, (number, _, _, fields) in enumerate(flows):
        if "trigger" not in fields:
            continue
        kind, before = triggers.get(fields["trigger"]), firing[fields["trigger"]]
        if kind is None or not before:
            raise InterchangeError(f"{path}:{number}: trigger {fields['trigger']} is never fired")
        # A barrier waits for all that fire it; any other trigger is fired by the first.
        work.after[m] = tuple(before) if kind == "barrier" else (before[0],)
    return work


def write_cm(work: Workload, hosts: int, path: Path) -> None:
    """Write a workload's messages; dependencies become triggers.

    Raises ValueError for computations, which the format does not know.
    """
    if not work.is_message.all():
        raise ValueError("a .cm file knows no computations")
    fired_by: defaultdict[int, list[int]] = defaultdict(list)
    barriers: dict[tuple[int, ...], int] = {}
    lines: list[str] = []
    for after in work.after:
        if after and after not in barriers:
            barriers[after] = len(barriers) + 1
            for m in after:
                fired_by[m].append(barriers[after])
    if any(len(ids) > 2 for ids in fired_by.values()):
        raise ValueError(
            "a .cm file lets a flow fire two triggers at most; this workload needs more"
        )
    for m in range(len(work)):
        words = [f"{work.source[m]}->{work.destination[m]} id {m + 1}"]
        if work.after[m]:
            words.append(f"trigger {barriers[work.after[m]]}")
        else:
            words.append(f"start {round(work.start[m] * 1e12)}")
        words.append(f"size {work.size[m]}")
        for key, trigger in zip(
            ("recv_done_trigger", "send_done_trigger"), fired_by[m], strict=False
        ):
            words.append(f"{key} {trigger}")
        lines.append(" ".join(words))
    head = [f"Nodes {hosts}", f"Connections {len(work)}"]
    if barriers:
        head.append(f"Triggers {len(barriers)}")
    tail = [
        f"trigger id {i} oneshot" if len(a) == 1 else f"trigger id {i} barrier count {len(a)}"
        for a, i in barriers.items()
    ]
    path.write_text("\n".join([*head, *lines, *tail]) + "\n", encoding="utf-8")


def read_topo(path: Path) -> Topology:
    """A fat-tree. Raises InterchangeError for a malformed file or one that we cannot build."""
    top: dict[str, int] = {}
    tiers: dict[int, dict[str, float]] = {}
    current: dict[str, float] | None = None
    for number, line in _numbered_lines(path):
        words = line.split()
        try:
            name, value = words[0], float(words[1])
        except (IndexError, ValueError):
            raise InterchangeError(f"{path}:{number}: not a name and a number: {line!r}") from None
        if name == "Tier":
            current = tiers.setdefault(int(value), {})
        elif current is None:
            top[name] = int(value)
        else:
            current[name] = value
    try:
        return _fat_tree(top, tiers)
    except KeyError as error:
        raise InterchangeError(f"{path}: {error.args[0]} is missing") from None
    except ValueError as error:
        raise InterchangeError(f"{path}: {error}") from None


def _fat_tree(top: dict[str, int], tiers: dict[int, dict[str, float]]) -> Topology:
    count = top["Tiers"]
    if count not in (2, 3) or sorted(tiers) != list(range(count)):
        raise ValueError(f"two or three tiers can be built, not {sorted(tiers)} of {count}")

    def cable(tier: int) -> tuple[float, float]:
        # The latency of the switch below is paid on the way into the link.
        delay = tiers[tier]["Downlink_Latency_ns"] + tiers[tier].get("Switch_Latency_ns", 0)
        return tiers[tier]["Downlink_speed_Gbps"] * 1e9, delay * 1e-9

    down = int(tiers[0]["Radix_Down"])
    hosts = top["Nodes"]
    pod = top.get("Podsize", hosts) if count == 3 else hosts
    if hosts % pod or pod % down:
        raise ValueError(f"{hosts} nodes, pods of {pod} and ToRs of {down} do not fit together")
    pod_tors = pod // down
    bundle = int(tiers[1].get("Bundle", 1))
    up = int(tiers[0]["Radix_Up"])
    rates = [cable(tier) for tier in range(count)]
    aggregations = (
        max(1, up // bundle) if count == 3 else pod_tors * up // int(tiers[1]["Radix_Down"])
    )
    core_bundle = 1
    aggregation_up = int(tiers[1]["Radix_Up"]) if count == 3 else 1
    return Topology.fat_tree(
        pods=hosts // pod,
        pod_tors=pod_tors,
        pod_aggregations=aggregations,
        tor_down=down,
        tor_up=up,
        aggregation_up=aggregation_up,
        core_bundle=core_bundle,
        rate=rates[0][0],
        delay=rates[0][1],
        uplink_rate=rates[1][0],
        uplink_delay=rates[1][1],
        core_rate=rates[-1][0],
        core_delay=rates[-1][1],
    )


def write_topo(
    path: Path, *, pods: int, pod_tors: int, tor_down: int, tor_up: int, aggregation_up: int,
    rate: float, delay: float,
) -> None:  # fmt: skip
    """Write a three-tier fat-tree with one rate (bit/s) and delay (seconds) throughout."""
    speed = f"Downlink_speed_Gbps {rate / 1e9:g}\n"
    latency = f"Downlink_Latency_ns {round(delay * 1e9)}\nSwitch_Latency_ns 0\n"
    hosts = pods * pod_tors * tor_down
    text = f"Nodes {hosts}\nTiers 3\nPodsize {pod_tors * tor_down}\n\n"
    text += (
        f"Tier 0\nOversubscribed 1\n{speed}Radix_Down {tor_down}\nRadix_Up {tor_up}\n{latency}\n"
    )
    text += f"Tier 1\nOversubscribed 1\n{speed}Radix_Down {pod_tors}\n"
    text += f"Radix_Up {aggregation_up}\n{latency}Bundle 1\n\n"
    text += f"Tier 2\n{speed}Radix_Down {pods}\n{latency}Bundle 1\n"
    path.write_text(text, encoding="utf-8")
