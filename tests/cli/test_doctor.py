"""The doctor: what its probes say about machines unlike this one, and that its report is sound."""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from weft import _native
from weft.doctor import Finding, Level, examine, limits, memory, network, rdma, report, software
from weft.doctor.finding import observed


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_every_finding_here_is_sound() -> None:
    findings = examine()
    assert len({(f.topic, f.name) for f in findings}) == len(findings), "a thing is reported twice"
    assert not [f for f in findings if f.topic == "doctor"], "a probe broke"
    assert all(f.mend for f in findings if f.level is not Level.OK)
    found = by_name(findings)
    assert found["cores"].values["usable"] == len(os.sched_getaffinity(0))
    assert found["kernel"].values["release"] == os.uname().release
    assert found["open files"].values["soft"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    devices = {f.name.removeprefix("device ") for f in findings if f.topic == "network"}
    assert {name for _, name in socket.if_nameindex()} - {"lo"} <= devices


def test_a_finding_without_a_mend_is_refused() -> None:
    with pytest.raises(ValueError, match="names no mend"):
        Finding("topic", "thing", Level.ABSENT, "not here")


def test_a_broken_probe_is_one_finding_and_the_others_go_on() -> None:
    def broken() -> Iterator[Finding]:
        yield observed("t", "before", True, "fine", "")
        raise RuntimeError("odd machine")

    def whole() -> list[Finding]:
        return [observed("t", "after", True, "fine", "")]

    findings = examine((broken, whole))
    assert [f.level for f in findings] == [Level.OK, Level.FAILED, Level.OK]
    assert "odd machine" in findings[1].detail


def test_low_limits_are_named_with_the_command_that_raises_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 128))
    files = by_name(list(limits.probe()))["open files"]
    assert files.level is Level.ABSENT
    assert files.values == {"soft": 64, "hard": 128}
    assert "ulimit -n 4096" in files.mend


def test_unlimited_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda which: (infinity, infinity))
    locked = by_name(list(limits.probe()))["locked memory"]
    assert (locked.level, locked.detail) == (Level.OK, "unlimited")
    assert locked.values == {"soft": None, "hard": None}


def test_cross_memory_attach_that_needs_permission_is_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_read_sibling", lambda kind: (kind == "any", "refused"))
    attach = next(memory.probe())
    assert attach.level is Level.OK
    assert (attach.values["plain"], attach.values["permitted"]) == (False, True)


def test_cross_memory_attach_that_is_refused_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_read_sibling", lambda kind: (False, "Operation not permitted"))
    attach = next(memory.probe())
    assert attach.level is Level.ABSENT
    assert "Operation not permitted" in attach.detail
    assert "kernel.yama.ptrace_scope=0" in attach.mend


def test_an_unknown_socket_option_is_absent() -> None:
    finding = network._udp_option("made up", 9999, 1, "99.0")
    assert finding.level is Level.ABSENT
    assert "Linux 99.0" in finding.mend


def test_rdma_ports_are_read_from_sysfs(tmp_path: Path) -> None:
    for name, state in (("mlx5_0", "4: ACTIVE"), ("mlx5_1", "1: DOWN")):
        port = tmp_path / name / "ports" / "1"
        port.mkdir(parents=True)
        (port / "state").write_text(state + "\n")
        (port / "rate").write_text("400 Gb/sec (4X NDR)\n")
        (port / "link_layer").write_text("Ethernet\n")
    active, down = rdma._devices(tmp_path)
    assert (active.name, active.level) == ("device mlx5_0 port 1", Level.OK)
    assert active.values["rate"] == "400 Gb/sec (4X NDR)"
    assert down.level is Level.ABSENT


@pytest.mark.parametrize(
    ("installed", "built_for", "level"),
    [
        ("2.13.0+cpu", "2.13.0+cpu", Level.OK),
        ("2.14.0", "2.13.0+cpu", Level.FAILED),
        ("2.13.0+cpu", "", Level.ABSENT),
        (None, "2.13.0+cpu", Level.ABSENT),
    ],
)
def test_torch_must_be_the_one_that_the_extension_was_built_for(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, built_for: str, level: Level
) -> None:
    def version(name: str) -> str:
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    build = _native.BuildInfo("0.1.0", "GNU 12.2.0", "Release", "", built_for)
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(_native, "build_info", lambda: build)
    finding = software._torch()
    assert finding.level is level
    assert finding.values == {"installed": installed, "built_for": built_for or None}


def test_a_missing_native_library_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Path:
        raise FileNotFoundError(name)

    monkeypatch.setattr(_native, "path", nothing)
    finding = software._native_library()
    assert (finding.level, finding.detail) == (Level.FAILED, "not installed")


def test_extras_are_read_from_the_package_itself() -> None:
    assert "pyroute2" in software._requirements("lab")
    assert "numpy" not in software._requirements("lab")


def test_report_shows_mends_and_counts() -> None:
    findings = [
        observed("one", "here", True, "fine", ""),
        observed("one", "gone", False, "none", "install [gone]", usable=False),
    ]
    out = StringIO()
    report.show(findings, Console(file=out, width=100))
    assert "install [gone]" in out.getvalue(), "markup must not swallow brackets"
    assert "1 in order, 1 absent (a feature is off or slower), 0 failed" in out.getvalue()
    listed = json.loads(report.as_json(findings))["findings"]
    assert listed[1]["level"] == "absent"
    assert listed[1]["values"] == {"usable": False}
