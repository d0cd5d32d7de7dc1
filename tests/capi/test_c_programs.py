"""The C API from C: strict C99 programs, started the way launchers start them."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from weft._native import path

EXAMPLES = Path(__file__).parents[2] / "examples" / "c"
STRICT = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def compile_program(source: Path, target: Path) -> Path:
    library = path("libweft.so").resolve().parent
    command = [*STRICT, f"-I{path('include')}", str(source), "-o", str(target)]
    subprocess.run([*command, f"-L{library}", "-lweft", f"-Wl,-rpath,{library}"], check=True)
    return target


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(
    program: Path, size: int, variables: tuple[str, str] = ("RANK", "WORLD_SIZE"), **extra: str
) -> list[tuple[int, str]]:
    """Exit code and output of every rank."""
    where = f"127.0.0.1:{free_port()}"
    running = []
    for rank in range(size):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_")}
        environment |= {"WEFT_COSTS": "default", variables[0]: str(rank), variables[1]: str(size)}
        environment |= {"WEFT_RENDEZVOUS": where, "WEFT_SECRET": "c programs", **extra}
        for name, value in list(environment.items()):
            if "{rank}" in value:
                environment[name] = value.format(rank=rank)
        running.append(
            subprocess.Popen(
                [program],
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
    finished = []
    for process in running:
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        finished.append((process.returncode, output))
    return finished


@pytest.fixture(scope="module")
def all_reduce(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(EXAMPLES / "all_reduce.c", tmp_path_factory.mktemp("c") / "all_reduce")


@pytest.mark.parametrize("datapath", ["shm", "udp"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_example(all_reduce: Path, size: int, datapath: str) -> None:
    total = size * (size + 1) // 2
    for rank, (code, output) in enumerate(launch(all_reduce, size, WEFT_DATAPATHS=datapath)):
        assert code == 0, output
        assert output == f"rank {rank} of {size}: sum {total}, largest {size - 1}\n"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_schedule_built_in_c(tmp_path: Path, size: int) -> None:
    program = compile_program(EXAMPLES / "schedule.c", tmp_path / "schedule")
    for rank, (code, output) in enumerate(launch(program, size)):
        assert code == 0, output
        *refusals, last = output.splitlines()
        assert last == f"rank {rank} of {size}: right"
        assert len(refusals) == (size > 2)
        for text in refusals:  # rank 0 adds one contribution twice, and never the last one
            assert "rank 0, step" in text and "rank 1 twice" in text, text


@pytest.mark.parametrize(
    "variables",
    [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
        ("SLURM_PROCID", "SLURM_NTASKS"),
    ],
)
def test_launchers(all_reduce: Path, variables: tuple[str, str]) -> None:
    assert [code for code, _ in launch(all_reduce, 2, variables)] == [0, 0]


def test_no_rank_in_the_environment(all_reduce: Path) -> None:
    finished = subprocess.run([all_reduce], capture_output=True, text=True, env={}, timeout=60)
    assert finished.returncode == 1
    assert "start the program with torchrun, mpirun or srun, or set RANK" in finished.stderr


def test_secrets_that_differ(all_reduce: Path) -> None:
    outputs = launch(all_reduce, 2, WEFT_SECRET="secret {rank}", WEFT_CONNECT_TIMEOUT_MS="3000")
    assert all(code == 1 for code, _ in outputs), outputs
    assert any("another secret" in output for _, output in outputs), outputs


def test_header_is_cplusplus_too(tmp_path: Path) -> None:
    source = tmp_path / "header.cc"
    source.write_text("#include <weft/weft.h>\nint main() { return weft_version() == nullptr; }\n")
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    library = path("libweft.so").resolve().parent
    command += [f"-I{path('include')}", str(source), "-o", str(tmp_path / "header")]
    subprocess.run([*command, f"-L{library}", "-lweft", f"-Wl,-rpath,{library}"], check=True)
    assert subprocess.run([tmp_path / "header"], timeout=60).returncode == 0
