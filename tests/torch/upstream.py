"""Runs the DistributedTest harness that ships inside torch against weft; writes what became of it.

    python upstream.py RESULT.json --world-size 3 --name gloo [-k SUBSTRING]

The harness skips tests by the literal name of the backend, so under its own name weft is asked less
than gloo. With `--name gloo` torch is made to build weft's backend wherever it would build gloo's,
and the whole of gloo's programme runs. Ranks are forked (the harness would spawn them, and import
torch again each time).
"""

# ruff: noqa: E402 - the harness reads the environment when it is imported
from __future__ import annotations

import argparse
import datetime
import json
import os
import tempfile
import time
import types
import unittest
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("result", type=Path)
parser.add_argument("--world-size", default="3")
parser.add_argument("--name", choices=["weft", "gloo", "real-gloo"], default="weft")
parser.add_argument("-k", dest="substring", default="")
arguments = parser.parse_args()

folder = tempfile.mkdtemp(prefix="weft-upstream-")
(Path(folder) / "barrier").touch()
(Path(folder) / "test_dir").mkdir()
os.environ |= {
    "BACKEND": "weft" if arguments.name == "weft" else "gloo",
    "WORLD_SIZE": arguments.world_size,
    "TEMP_DIR": folder,
    "MASTER_ADDR": "127.0.0.1",
}

import torch
from torch.distributed import distributed_c10d

from weft.collectives.torch import create_backend

torch.set_num_threads(1)
real_gloo = distributed_c10d.ProcessGroupGloo
real_wrapper = distributed_c10d._create_process_group_wrapper


class _AnyBackend(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return True


class WeftAsGloo(metaclass=_AnyBackend):
    """Stands where torch names gloo's class."""

    def __new__(
        cls, store: Any, rank: int, size: int, timeout: datetime.timedelta, **newer: Any
    ) -> Any:
        assert not any(newer.values()), newer  # of torch 2.15: enable_reconfigure
        group = types.SimpleNamespace(
            store=store,
            group_rank=rank,
            group_size=size,
            timeout=timeout,
            group_id="as gloo",
            global_ranks_in_group=[],
        )
        return create_backend(group, None)


def wrapper_with_real_gloo(*args: Any, **kwargs: Any) -> Any:
    """The debug wrapper compares the ranks' calls over a gloo group, which must be a real one."""
    distributed_c10d.ProcessGroupGloo = real_gloo
    try:
        return real_wrapper(*args, **kwargs)
    finally:
        distributed_c10d.ProcessGroupGloo = WeftAsGloo


from torch.testing._internal.distributed import distributed_test

if arguments.name == "gloo":
    distributed_c10d.ProcessGroupGloo = WeftAsGloo
    distributed_c10d._create_process_group_wrapper = wrapper_with_real_gloo
    profiled = distributed_test.get_profiling_event

    def profiled_as_gloo(name: str, *rest: Any, **more: Any) -> Any:
        events = profiled(name.replace("gloo:", "weft:"), *rest, **more)
        for event in events:
            event.name = event.name.replace("weft:", "gloo:")
        return events

    distributed_test.get_profiling_event = profiled_as_gloo

# Under gloo's name DDP's logger reads the backend's memory as that of gloo's class (its number of
# threads), so that chance decides whether this test passes: it is not run.
LEFT_OUT = {"test_ddp_logging_data_cpu"} if arguments.name == "gloo" else set()

if arguments.name == "weft":
    for feature in ("plugin", "ddp"):
        distributed_test.DistTestCases.backend_feature.setdefault(feature, set()).add("weft")


class Upstream(distributed_test.TestDistBackend, distributed_test.DistributedTest._DistTestBase):
    def setUp(self) -> None:
        super().setUp()
        context = torch.multiprocessing.get_context("fork")
        self._start_processes(context.Process)


class Recorder(unittest.TestResult):
    """One word per test: passed, skipped or failed, with the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._began = time.perf_counter()

    def _record(self, test: unittest.TestCase, outcome: str, reason: str = "") -> None:
        seconds = round(time.perf_counter() - self._began, 2)
        name = test.id().split(".")[-1]
        self.records[name] = {"outcome": outcome, "reason": reason, "seconds": seconds}
        if outcome != "skipped":
            print(f"{outcome} {name} {seconds} s", flush=True)

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._record(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._record(test, "skipped", reason)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._record(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError


if __name__ == "__main__":
    suite = unittest.TestSuite(
        test
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(Upstream)
        if arguments.substring in test.id() and test.id().split(".")[-1] not in LEFT_OUT
    )
    recorder = Recorder()
    suite.run(recorder)
    arguments.result.write_text(json.dumps(recorder.records, indent=1))
    outcomes = [record["outcome"] for record in recorder.records.values()]
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))})
