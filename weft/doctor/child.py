"""Run a few lines of Python in a process of their own.

Some probes must not happen in the caller: they enter namespaces, or need a second process whose
memory is read.
"""

from __future__ import annotations

import subprocess
import sys

DEADLINE = 10.0  # seconds; a probe that takes longer hangs


def run(code: str, *arguments: str) -> tuple[bool, str]:
    """Run `code` with sys.argv[1:] = arguments: (exit status was 0, last line it printed)."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {DEADLINE:g} s"
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return done.returncode == 0, lines[-1] if lines else ""
