"""The HTML reports in a real browser: they draw, complain of nothing and fetch nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib import image
from typer.testing import CliRunner

from weft.emulation import cli as sim_cli
from weft.emulation.suite import cli as suite_cli

SUITE = Path(__file__).parents[2] / "examples" / "suites"
BROWSER = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    BROWSER is None and "WEFT_BROWSER_REQUIRED" not in os.environ,
    reason="there is no chromium: .ci/system-deps browser",
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-domain-reliability", "--no-pings", "--hide-scrollbars",
    "--disable-features=NetworkTimeServiceQuerying,Translate,OptimizationHints",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
OWN = "not an origin"


@dataclass
class Visit:
    """What came of opening a page."""

    console: list[str]
    requests: list[str]
    """Addresses of all that the page asked for, but file: and data:. (What the browser wants for
    itself has no origin; no name is resolved for it.)"""
    colours: int
    """Different ones in the screenshot."""


def visit(page: Path, folder: Path) -> Visit:
    assert BROWSER is not None, "there is no chromium: .ci/system-deps browser"
    log, picture = folder / "net.json", folder / "page.png"
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
         "--enable-logging=stderr", "--window-size=1100,1600", f"--screenshot={picture}",
         page.as_uri()],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert picture.exists(), done.stderr[-2000:]
    console = re.findall(r"CONSOLE[:(].*", done.stderr)
    asked = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    urls = {a["url"] for a in asked if "url" in a and a.get("initiator", OWN) != OWN}
    pixels = (image.imread(picture)[::2, ::2, :3] * 255).astype(int)
    colours = len(set(map(tuple, pixels.reshape(-1, 3))))
    return Visit(console, sorted(u for u in urls if u.startswith(("http", "ws", "ftp"))), colours)


def test_the_eye_sees_what_must_not_be(tmp_path: Path) -> None:
    """A page that complains and fetches is found out, or the other tests prove nothing."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><script>console.error("oh")</script><img src="http://127.0.0.1:9/x.png">'
    )
    seen = visit(page, tmp_path)
    assert any("oh" in line for line in seen.console)
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert seen.colours < 100


def test_a_suites_report(tmp_path: Path) -> None:
    page = tmp_path / "suite.html"
    arguments = [str(SUITE), "--sim", "--only", "permutation/spine", "--html", str(page)]
    assert CliRunner().invoke(suite_cli.app, arguments).exit_code == 0
    seen = visit(page, tmp_path)
    assert seen.console == [] and seen.requests == []
    assert seen.colours > 100


def test_the_simulators_report(tmp_path: Path) -> None:
    file = f"{SUITE / 'transport.toml'}#permutation/dead_spine/weft"
    arguments = [file, "--plot", str(tmp_path), "--set", "metrics.sample_interval=2ms"]
    done = CliRunner().invoke(sim_cli.app, arguments)
    assert done.exit_code == 0, done.output
    seen = visit(tmp_path / "report.html", tmp_path)
    assert seen.console == [] and seen.requests == []
    assert seen.colours > 100
