"""Every command of docs/p4.md does what it says, in the folder that it says."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.p4.cli import app
from weft.p4.switch import CompilerError
from weft.p4.switch.fuzz import sanitizer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "p4.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """examples/p4, the router with its headers, and a capture of one frame."""
    for path in (ROOT / "examples" / "p4").iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    shutil.copy(ROOT / "p4" / "programs" / "router.p4", tmp_path)
    shutil.copytree(ROOT / "p4" / "programs" / "include", tmp_path / "include")
    frame = bytes.fromhex("0200000000020200000000010800") + b"hello"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    record = struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    (tmp_path / "in.pcap").write_bytes(header + record)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands() -> None:
    assert {shlex.split(c)[2] for c in COMMANDS} == {
        "check", "fmt", "graph", "info", "ir", "stf", "trace", "fuzz", "run", "fit",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, folder: Path) -> None:
    words = shlex.split(command)
    assert words[:2] == ["weft", "p4"]
    if words[2] == "fuzz":
        try:
            sanitizer()
        except CompilerError as problem:
            pytest.skip(f"no sanitizer: {problem}")
    result = CliRunner().invoke(app, words[2:])
    assert result.exit_code == 0, result.output
    if words[2] == "run":
        written = (folder / "out" / "port2.pcap").read_bytes()
        assert written.endswith(b"hello")
    if words[2] == "graph":
        assert "<svg" in (folder / "router.svg").read_text()


def test_the_program_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "p4" / "drive.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "known station: [Output(port=2" in said
    assert "unwanted station: []" in said
    assert "packets from port 1: 3" in said
