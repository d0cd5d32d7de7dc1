"""`.ci/system-deps` on machines that lack everything: what it says, and what it would install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "system-deps"
WANTED = "g++ doctest-dev"  # what a machine without any compiler lacks for certain


def write_program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder to stand for PATH: the shell's usual programs, this Python, and no compiler."""
    for name in ("bash", "cat", "mktemp", "rm", "tail", "test"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    write_program(tmp_path, "python3", f'exec {sys.executable} "$@"')
    return tmp_path


def run(path: Path, *purposes: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("bash") or "bash", str(SCRIPT), *purposes]
    return subprocess.run(
        command, env={"PATH": str(path)}, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_root_it_names_the_packages_and_the_target(bare: Path) -> None:
    write_program(bare, "id", "echo 1000")
    write_program(bare, "apt-get", "echo called >&2; exit 9")
    done = run(bare)
    assert done.returncode == 1
    assert WANTED in done.stderr
    assert "make system-deps" in done.stderr
    assert "called" not in done.stderr


def test_as_root_it_installs_exactly_what_is_missing(bare: Path) -> None:
    write_program(bare, "id", "echo 0")
    write_program(bare, "apt-get", f'echo "$@" >>{bare}/calls')
    done = run(bare)
    assert done.returncode == 0, done.stderr
    (call,) = (bare / "calls").read_text(encoding="utf-8").splitlines()
    assert call.startswith(f"install -y --no-install-recommends {WANTED}")
    assert "clang" not in call, "fuzzing was not asked for"


def test_it_updates_the_lists_where_the_first_attempt_fails(bare: Path) -> None:
    write_program(bare, "id", "echo 0")
    write_program(
        bare,
        "apt-get",
        f'echo "$1" >>{bare}/calls; [ "$1" = update ] || [ -f {bare}/updated ] || '
        f"{{ : >{bare}/updated; exit 100; }}",
    )
    assert run(bare).returncode == 0
    calls = (bare / "calls").read_text(encoding="utf-8").split()
    assert calls == ["install", "update", "install"]


def test_a_failed_installation_shows_the_end_of_its_log(bare: Path) -> None:
    write_program(bare, "id", "echo 0")
    write_program(bare, "apt-get", 'echo "E: no such package"; exit 100')
    done = run(bare)
    assert done.returncode == 1
    assert "E: no such package" in done.stderr


@pytest.mark.parametrize(
    ("version", "old"), [("1.8.0_392", True), ("11.0.2", True), ("17.0.15", False)]
)
def test_spark_needs_java_17(bare: Path, version: str, old: bool) -> None:
    (bare / "grep").symlink_to(shutil.which("grep") or "grep")
    write_program(bare, "id", "echo 1000")
    write_program(bare, "java", f"echo 'openjdk version \"{version}\"' >&2")
    done = run(bare, "spark")
    assert ("openjdk-17-jre-headless" in done.stderr) is old
    assert done.returncode == int(old)


def test_an_unknown_purpose_is_wrong_usage(bare: Path) -> None:
    done = run(bare, "gardening")
    assert done.returncode == 2
    assert "gardening" in done.stderr


def test_an_old_python_is_refused_by_name(bare: Path) -> None:
    (bare / "python3").unlink()
    write_program(bare, "python3", '[[ "$*" == *version_info* ]] && exit 1; exit 0')
    write_program(bare, "c++", "exit 0")
    done = run(bare)
    assert done.returncode == 1
    assert "older than 3.11" in done.stderr
