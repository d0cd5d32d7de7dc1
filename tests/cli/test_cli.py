"""The `weft` command line as scripts meet it: exit codes, JSON, laziness, a missing extra."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import weft
from weft import _native, cli, doctor
from weft.doctor.finding import Finding, Level

SCRIPT = Path(sys.executable).with_name("weft")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_the_commands_and_the_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("doctor", "version", "Exit codes"))


@pytest.mark.parametrize("arguments", [("no-such-command",), ("doctor", "--no-such-option")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[-1] in done.stderr


def test_version_agrees_with_the_header() -> None:
    done = run("version", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["weft"] == weft.__version__
    assert listed["native"]["version"] == weft.__version__
    header = (_native.path("include") / "weft" / "weft.h").read_text(encoding="utf-8")
    parts = dict(zip(("MAJOR", "MINOR", "PATCH"), weft.__version__.split("."), strict=True))
    assert all(f"#define WEFT_VERSION_{name} {n}\n" in header for name, n in parts.items())


def test_doctor_prints_one_json_object() -> None:
    done = run("doctor", "--json")
    listed = json.loads(done.stdout)["findings"]
    failed = any(finding["level"] == "failed" for finding in listed)
    assert done.returncode == int(failed)
    assert {"machine", "limits", "network", "rdma", "software"} <= {f["topic"] for f in listed}


@pytest.mark.parametrize(("level", "code"), [(Level.OK, 0), (Level.ABSENT, 0), (Level.FAILED, 1)])
def test_doctor_fails_only_for_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, level: Level, code: int
) -> None:
    findings = [Finding("topic", "thing", level, "detail", "mend")]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    for arguments in (["doctor"], ["doctor", "--json"]):
        assert CliRunner().invoke(cli.app, arguments).exit_code == code


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from weft.cli import app; app(['--help'], standalone_mode=False); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "weft.cli" in loaded
    assert not loaded & {"torch", "numpy", "lark", "pyroute2", "matplotlib", "weft.p4"}


def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Mount a module with this source as `weft extra-command`, for one test."""
    (tmp_path / "mounted_app.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "app", typer.Typer(no_args_is_help=True))
    monkeypatch.delitem(sys.modules, "mounted_app", raising=False)
    cli.app.callback()(lambda: None)
    cli.mount(cli.Mounted("extra-command", "Says what it got.", "mounted_app", "lab"))


ECHO = """
import typer
app = typer.Typer()
@app.command()
def say(words: list[str], loud: bool = False) -> None:
    typer.echo(f"{words} {loud}")
@app.command()
def fail() -> None:
    raise typer.Exit(1)
"""


def test_a_mounted_command_gets_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(tmp_path, monkeypatch, ECHO)
    runner = CliRunner()
    said = runner.invoke(cli.app, ["extra-command", "say", "a", "b", "--loud"])
    assert (said.exit_code, said.output) == (0, "['a', 'b'] True\n")
    assert runner.invoke(cli.app, ["extra-command", "fail"]).exit_code == 1
    assert runner.invoke(cli.app, ["extra-command", "no-such"]).exit_code == 2
    help_text = runner.invoke(cli.app, ["extra-command", "say", "--help"]).output
    assert "--loud" in help_text


def test_a_missing_extra_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(tmp_path, monkeypatch, "import no_such_package_of_anyone\n")
    done = CliRunner().invoke(cli.app, ["extra-command"])
    assert done.exit_code == 1
    assert "no_such_package_of_anyone" in done.output
    assert "pip install 'weft[lab]'" in done.output


def test_an_import_error_of_our_own_is_not_mistaken_for_a_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(tmp_path, monkeypatch, "import weft.no_such_module\n")
    done = CliRunner().invoke(cli.app, ["extra-command"])
    assert isinstance(done.exception, ModuleNotFoundError)


@pytest.mark.parametrize("entry", cli.MOUNTED, ids=lambda entry: entry.name)
def test_every_mounted_command_exists_and_names_a_real_extra(entry: cli.Mounted) -> None:
    assert run(entry.name, "--help").returncode == 0
    extras = importlib.metadata.metadata("weft").get_all("Provides-Extra") or []
    assert entry.extra in extras
