"""A placement as text for people and as JSON for programs."""

from __future__ import annotations

import json

from weft.p4.resources.fit import Fit
from weft.p4.resources.target import Target

_SHOWN = ("sram", "tcam", "map_ram", "stateful_alus", "hash_bits", "logical_tables")


def as_text(fit: Fit, target: Target) -> str:
    """A verdict, the problems, then one line per stage in use."""
    verdict = "fits" if fit.fits else "does not fit"
    lines = [f"{verdict} {fit.target}: {fit.stages_used} of {target.stages} stages, "
             f"{fit.phv_bits} of {fit.phv_limit} PHV bits"]  # fmt: skip
    for problem in fit.problems:
        place = f"{problem.location}: " if problem.location is not None else ""
        lines.append(f"{place}{problem.resource}: {problem.message}")
    lines.append("stage  " + "  ".join(f"{name:>14}" for name in _SHOWN))
    for number, stage in enumerate(fit.stages, 1):
        if not stage:
            continue
        used = fit.used[number - 1]
        cells = [f"{used.get(name, 0)}/{target.stage[name]}" for name in _SHOWN]
        lines.append(f"{number:5}  " + "  ".join(f"{cell:>14}" for cell in cells))
        for name, _ in stage:
            reason = fit.reasons.get(name)
            lines.append(f"         {name}" + (f": {reason}" if reason else ""))
    return "\n".join(lines) + "\n"


def as_json(fit: Fit, target: Target) -> str:
    data = {
        "target": fit.target,
        "fits": fit.fits,
        "stages_used": fit.stages_used,
        "stages": [
            {"tables": [{"name": n, "share": s} for n, s in stage], "used": fit.used[i]}
            for i, stage in enumerate(fit.stages)
        ],
        "limits": dict(target.stage),
        "phv": {"bits": fit.phv_bits, "limit": fit.phv_limit},
        "problems": [
            {"resource": p.resource, "subject": p.subject, "message": p.message,
             "location": str(p.location)}
            for p in fit.problems
        ],
        "reasons": fit.reasons,
    }  # fmt: skip
    return json.dumps(data, indent=2) + "\n"
