"""The libraries that are compared, and how each is started on one host.

All print the same JSON lines: torch's through torch_rank.py, the others through one C program of
benchmarks/c, linked once per library, so that every loop and every check is the same.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import weft
from weft import _native
from weft.bench.processes import Launch

SOURCES = Path(weft.__file__).resolve().parent.parent / "benchmarks" / "c"
MPIS = {"openmpi": ["--oversubscribe", "--bind-to", "none"], "mpich": []}
NAMES = ("weft-torch", "gloo", "weft-c", "openmpi", "mpich")


class Unavailable(Exception):
    """This machine cannot measure a library; the message says why, and how to mend it."""


@dataclass(frozen=True)
class Library:
    """A library ready to run: `start(arguments, ranks, folder)` gives the processes."""

    name: str
    start: Callable[[Sequence[str], int, Path], list[Launch]]


def prepare(name: str, folder: Path) -> Library:
    """Compile what `name` (one of NAMES) needs into `folder`. Raises Unavailable."""
    if name in ("weft-torch", "gloo"):
        return _torch(name)
    if name == "weft-c":
        program = weft_program("collectives.c", folder)
        return Library(name, lambda a, n, _: [weft_rank(program, a, r, n) for r in _ports(n)])
    return _mpi(name, folder)


def _torch(name: str) -> Library:
    if importlib.util.find_spec("torch") is None:
        raise Unavailable("torch is not installed: pip install 'weft[torch]'")
    if name == "weft-torch":
        try:
            importlib.import_module("weft.collectives.torch")
        except (ImportError, FileNotFoundError) as error:
            raise Unavailable(str(error)) from None
    return Library(
        name, lambda arguments, ranks, folder: torch_ranks(name, arguments, ranks, folder)
    )


def torch_ranks(name: str, arguments: Sequence[str], ranks: int, folder: Path) -> list[Launch]:
    """The ranks of a job through torch.distributed that meets in a file of `folder`."""
    backend = "weft" if name == "weft-torch" else name
    command = [sys.executable, "-P", "-m", "weft.bench.torch_rank", backend]
    return [
        Launch(
            [*command, str(folder / "store"), *arguments],
            {"RANK": str(rank), "WORLD_SIZE": str(ranks), "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(ranks)
    ]


def _ports(ranks: int) -> list[tuple[int, str]]:
    """Every rank, with the address at which the job meets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [(rank, address) for rank in range(ranks)]


def weft_rank(
    program: Path, arguments: Sequence[str], place: tuple[int, str], ranks: int
) -> Launch:
    """One rank of a C program over Weft; `place` is its rank and the job's rendezvous."""
    rank, rendezvous = place
    job = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "WEFT_RENDEZVOUS": rendezvous}
    return Launch([program, *arguments], job)


def weft_program(source: str, folder: Path) -> Path:
    """Compile a program of benchmarks/c against Weft's C API."""
    try:
        library, include = _native.path("libweft.so"), _native.path("include")
    except FileNotFoundError as error:
        raise Unavailable(str(error)) from None
    where = [f"-L{library.parent}", f"-Wl,-rpath,{library.parent}", f"-I{include}"]
    sources = [source, "library_weft.c"] if source == "collectives.c" else [source]
    return _compile("cc", sources, [*where, "-lweft"], folder / f"weft-{Path(source).stem}")


def plain_program(source: str, folder: Path) -> Path:
    """Compile a program of benchmarks/c that stands alone. Raises Unavailable."""
    return _compile("cc", [source], [], folder / Path(source).stem)


def _mpi(name: str, folder: Path) -> Library:
    run = shutil.which(f"mpirun.{name}")
    if run is None:
        raise Unavailable(f"mpirun.{name} is not installed (Debian: {name}-bin, lib{name}-dev)")
    define = f'-DBENCH_LIBRARY="{name}"'
    sources = ["collectives.c", "library_mpi.c"]
    program = _compile(f"mpicc.{name}", sources, [define], folder / name)
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    start = [run, *MPIS[name], "-np"]

    def launches(arguments: Sequence[str], ranks: int, _: Path) -> list[Launch]:
        return [Launch([*start, str(ranks), program, *arguments], as_root)]

    return Library(name, launches)


def _compile(compiler: str, sources: list[str], flags: list[str], program: Path) -> Path:
    if not SOURCES.is_dir():
        raise Unavailable("benchmarks/c is not part of an installed wheel: run in a checkout")
    if shutil.which(compiler) is None:
        raise Unavailable(f"the compiler {compiler} is not installed")
    files = [str(SOURCES / source) for source in sources]
    command = [compiler, "-O2", "-std=c11", f"-I{SOURCES}", *files, *flags]
    command += ["-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{compiler} failed: {done.stderr.strip().splitlines()[:1]}")
    return program
