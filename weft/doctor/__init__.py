"""`weft doctor`: what this machine offers Weft, and for each missing thing what to do about it.

Each family of probes is one file; `examine` runs them all. A probe that breaks becomes a finding
itself, so that one odd machine cannot take the whole report down.
"""

from __future__ import annotations

from weft.doctor import limits, machine, memory, network, privileges, rdma, software
from weft.doctor.finding import Finding, Level, Probe

__all__ = ["PROBES", "Finding", "Level", "examine"]

PROBES: tuple[Probe, ...] = (
    machine.probe,
    limits.probe,
    privileges.probe,
    memory.probe,
    network.probe,
    rdma.probe,
    software.probe,
)


def examine(probes: tuple[Probe, ...] = PROBES) -> list[Finding]:
    """Run the probes in order and return all findings: about a second, no privileges needed."""
    findings: list[Finding] = []
    for probe in probes:
        try:
            findings.extend(probe())
        except Exception as error:
            findings.append(
                Finding(
                    topic="doctor",
                    name=probe.__module__,
                    level=Level.FAILED,
                    detail=f"the probe itself broke: {type(error).__name__}: {error}",
                    mend="please report this as a bug, with the kernel's version",
                )
            )
    return findings
