"""`weft bench`: what it measures is right and named as nccl-tests names it; it ends in time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.bench import cli, report, sweep
from weft.bench.cli import app
from weft.bench.processes import Launch, MeasurementError, run_ranks


@pytest.mark.parametrize("name", ["collectives", "udp", "datapaths", "simulator"])
def test_help(name: str) -> None:
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_without_a_command_all_collectives_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[sweep.Plan] = []

    def nothing(plan: sweep.Plan, tell: object) -> sweep.Results:
        plans.append(plan)
        return sweep.Results()

    monkeypatch.setattr(cli, "sweep", nothing)
    assert CliRunner().invoke(app, []).exit_code == 1, "nothing measured is no success"
    [plan] = plans
    assert (plan.sizes[0], plan.sizes[-1]) == (8, 128 << 20)
    assert list(plan.ranks) == [2, 4]
    assert set(plan.libraries) == {"weft-torch", "gloo", "weft-c", "openmpi", "mpich"}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_api_is_measured_with_keys_of_nccl_tests(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    options = ["--quick", "--sizes", "8,1024", "--ranks", "2", "--libraries", "weft-c"]
    settings = ["--milliseconds", "2", "--idle", "1", "--json", str(file)]
    done = CliRunner().invoke(app, ["collectives", *options, *settings])
    assert done.exit_code == 0, done.output
    measured = json.loads(file.read_text())
    found = {(row["collective"], row["size"]) for row in measured["results"]}
    assert found == {
        (collective, size)
        for collective in ("all_reduce", "reduce_scatter", "all_to_all")
        for size in (8, 1024)
    }
    for row in measured["results"]:
        assert {"size", "count", "type", "redop", "root", "out_of_place"} <= row.keys()
        assert row["out_of_place"]["nwrong"] == 0
        assert row["out_of_place"]["time"] > 0
        assert row["redop"] == ("none" if row["collective"] == "all_to_all" else "sum")
    assert 0 <= measured["idle_core_share"]["weft-c"] < 2


@pytest.mark.parametrize(
    "options", [["--ranks", "one"], ["--libraries", "nccl"], ["--sizes", "8,,9"], ["--ranks", "1"]]
)
def test_wrong_usage_is_exit_code_2(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["collectives", *options]).exit_code == 2


def test_a_failing_rank_ends_the_others_and_is_quoted() -> None:
    sleeper = Launch([sys.executable, "-c", "import time; time.sleep(60)"])
    failing = Launch([sys.executable, "-c", "raise SystemExit('the reason')"])
    began = time.monotonic()
    with pytest.raises(MeasurementError, match=r"exit code 1: the reason"):
        run_ranks([sleeper, failing], deadline=50)
    assert time.monotonic() - began < 50


def test_a_deadline_ends_all_ranks(tmp_path: Path) -> None:
    alive = tmp_path / "pid"
    code = f"import os, time; open({str(alive)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(MeasurementError, match="not done after 3 s"):
        run_ranks([Launch([sys.executable, "-c", code])], deadline=3)
    assert not Path(f"/proc/{alive.read_text()}").exists()


def command(process: Path) -> str:
    """The command line of a process; "" if it has ended."""
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(
    ("collective", "size", "name"),
    [("all_reduce", "16777216", "weft-collectives"), ("all_to_all", "8", "weft.bench.cli")],
    ids=["ranks", "plain copies"],
)
def test_a_terminated_bench_leaves_no_rank_behind(collective: str, size: str, name: str) -> None:
    """Whether it runs a library then, for as long as 16 MiB take, or copies in forks of its own."""
    options = ["--libraries", "weft-c", "--ranks", "2", "--milliseconds", "30000"]
    options += ["--collectives", collective, "--sizes", size]
    code = "from weft.bench.cli import app; app()"
    bench = subprocess.Popen(
        [sys.executable, "-c", code, "collectives", *options], stderr=subprocess.DEVNULL
    )
    try:
        listing = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        ranks: list[Path] = []
        end = time.monotonic() + 60
        while len(ranks) < 2 and time.monotonic() < end:
            children = [Path("/proc") / pid for pid in listing.read_text().split()]
            ranks = [child for child in children if name in command(child)]
            time.sleep(0.05)
        assert len(ranks) == 2, "the ranks did not start"
        bench.terminate()
        assert bench.wait(30) == 128 + signal.SIGTERM
    finally:
        bench.kill()
        bench.wait()
    assert not any(rank.exists() for rank in ranks)


def results() -> sweep.Results:
    times = {"weft-torch": 10.0, "gloo": 45.0, "weft-c": 4.0, "openmpi": 8.0, "mpich": 6.0}
    rows = {("all_reduce", 2, name, 64): {"time": time} for name, time in times.items()}
    return sweep.Results(rows=rows)


def test_ratios_compare_like_with_like() -> None:
    found = report.ratios(results(), "all_reduce", 2, 64)
    assert found == {"gloo / weft-torch": 4.5, "best MPI / weft-c": 1.5}


def test_a_section_replaces_the_one_of_its_name_only(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    for title, text in (("One", "old"), ("Two", "kept"), ("One", "new")):
        report.write_section(file, title, report.markdown(title, "weft bench", {}, [], [text]))
    written = file.read_text()
    assert "old" not in written
    assert written.index("## One") < written.index("- new") < written.index("## Two")
    assert "- kept" in written and written.count("## ") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and AF_XDP need root")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_datapaths_are_measured_beside_udp() -> None:
    options = ["--rounds", "1", "--seconds", "0.05", "--message", "65536", "--json"]
    done = CliRunner().invoke(app, ["datapaths", "--datapaths", "shm,udp,xdp,verbs", *options])
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout.splitlines()[-1])
    rows = {row["name"]: row for row in measured["results"]}
    assert {"shm", "udp", "xdp"} == rows.keys() - {"verbs"}
    assert rows.keys() | measured["skipped"].keys() == {"shm", "udp", "xdp", "verbs"}
    assert rows["udp"]["ratio"] == rows["udp"]["latency_ratio"] == 1
    for row in rows.values():
        assert row["nwrong"] == 0
        assert row["gb_per_s"] > 0
        assert row["microseconds"] > 0
        assert row["cpu_s_per_gb"] > 0


def test_a_datapath_that_is_not_there_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["datapaths", "--datapaths", "pigeon"]).exit_code == 2


def test_the_simulator_is_measured() -> None:
    options = ["--hosts", "128", "--rounds", "1"]
    done = CliRunner().invoke(app, ["simulator", *options, "--json"])
    measured = json.loads(done.stdout.splitlines()[-1])
    [row] = measured["results"]
    # 2 MB in packets of at most 4,096 B; hardly one again where every host has a whole link.
    assert row["hosts"] == 128
    assert 1 <= row["packets"] / (128 * -(-2_000_000 // 4096)) < 1.01
    # No sooner than a host's link of 100 Gbit/s can carry it.
    assert row["end"] > 2e6 * 8 / 100e9 and row["memory"] > 0 and row["seconds"] > 0
    ns3 = Path("/usr/include/ns3/core-module.h").exists()
    assert (measured["ns3"] is not None) == ns3


def test_hosts_come_in_pods() -> None:
    assert CliRunner().invoke(app, ["simulator", "--hosts", "100"]).exit_code == 2
