"""Ranks of a group on hosts of a lab, one on each."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.emulation.lab import Lab

PORT = 29555


@dataclass
class Ranks:
    """Processes that have been started; `with` ends what still runs."""

    processes: list[subprocess.Popen[str]]

    @classmethod
    def start(
        cls, lab: Lab, hosts: Sequence[str], program: Path, spec: Mapping[str, Any], **env: str
    ) -> Ranks:
        """`program SPEC` on every host, with the environment that torchrun would give it."""
        common = {
            "WORLD_SIZE": str(len(hosts)), "MASTER_ADDR": lab[hosts[0]].ip,
            "MASTER_PORT": str(PORT), "WEFT_COSTS": "default", "OMP_NUM_THREADS": "1", **env,
        }  # fmt: skip
        words = [sys.executable, str(program), json.dumps(spec)]
        return cls(
            [
                lab[host].popen(
                    words, env={**common, "RANK": str(rank)}, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
                for rank, host in enumerate(hosts)
            ]
        )  # fmt: skip

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *unused: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_up(self, deadline: float = 150.0) -> None:
        """Until every rank has said that it is up."""
        until = time.monotonic() + deadline
        for rank, process in enumerate(self.processes):
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "up\n", f"rank {rank}: {line}{process.communicate()[1]}"
            assert time.monotonic() < until, f"rank {rank} came up late"

    def results(self, deadline: float = 200.0) -> list[dict[str, Any]]:
        """What each rank printed last, as JSON; all must have ended well."""
        until = time.monotonic() + deadline
        said, failures = [], []
        for rank, process in enumerate(self.processes):
            try:
                out, err = process.communicate(timeout=max(1.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                failures.append(f"rank {rank} did not end within {deadline:g} s: {err[-2000:]}")
                continue
            if process.returncode != 0:
                failures.append(f"rank {rank} ended with {process.returncode}: {err[-2000:]}")
            else:
                said.append(json.loads(out.splitlines()[-1]))
        assert not failures, "\n".join(failures)
        return said


def total(tree: Any, key: str) -> int:
    """The sum of all numbers under a key, wherever in a tree of statistics."""
    if isinstance(tree, dict):
        own = tree[key] if isinstance(tree.get(key), int) else 0
        return own + sum(total(value, key) for value in tree.values())
    return sum(total(value, key) for value in tree) if isinstance(tree, list) else 0


PROGRAMS = Path(__file__).parents[1] / "vm" / "programs"
