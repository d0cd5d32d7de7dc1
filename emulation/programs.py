"""P4 programs in switches of the fabric: what a scenario names, opened for the length of a run.

The program decides what leaves by which port instead of the fabric's routing. Its ports are the
switch's links in the topology's order, from 0; host h is 10.0.0.0 + h + 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.emulation.topology import Topology

if TYPE_CHECKING:
    from weft.p4.switch import Switch


@dataclass(frozen=True)
class Program:
    """A P4 program for one switch, and a simple_switch_CLI command file that fills its tables."""

    switch: str
    source: Path
    commands: Path | None = None


def check(programs: Sequence[Program], topology: Topology) -> None:
    """Raises ValueError when one names no switch, or a switch twice."""
    seen: set[str] = set()
    for program in programs:
        if topology.node(program.switch) < topology.hosts:
            raise ValueError(f"{program.switch!r} is a host, not a switch")
        if program.switch in seen:
            raise ValueError(f"{program.switch} has two programs")
        seen.add(program.switch)


@contextmanager
def opened(
    programs: Sequence[Program], topology: Topology, options: Any
) -> Iterator[dict[str, Switch]]:
    """Compiles the programs, fills their tables and puts them into the simulator's options.

    Raises ValueError with the compiler's or the command's complaint.
    """
    if not programs:
        yield {}
        return
    from weft.p4.compiler import CompileError
    from weft.p4.switch import CodegenError, CompilerError, Switch
    from weft.p4.switch.commands import CommandLine

    check(programs, topology)
    with ExitStack() as stack:
        switches: dict[str, Switch] = {}
        for program in programs:
            try:
                switch = stack.enter_context(Switch.load(program.source))
                if program.commands is not None:
                    list(CommandLine(switch).run_file(program.commands))
            except (CompileError, CodegenError, CompilerError, OSError) as problem:
                raise ValueError(f"program of {program.switch}: {problem}") from problem
            options.add_program(topology.node(program.switch), *switch.entry_points())
            switches[program.switch] = switch
        yield switches
