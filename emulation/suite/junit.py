"""Results as JUnit XML, which every CI system reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from weft.emulation.suite.runner import Case

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return _FORBIDDEN.sub("?", text)


def write(cases: Sequence[Case], path: Path, suite: str) -> None:
    """One test case per scenario: its failures, and its metrics as properties."""
    root = ElementTree.Element(
        "testsuite",
        name=_clean(suite),
        tests=str(len(cases)),
        failures=str(sum(not case.passed and case.result is not None for case in cases)),
        errors=str(sum(case.result is None and not case.skipped for case in cases)),
        skipped=str(sum(bool(case.skipped) for case in cases)),
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    for case in cases:
        node = ElementTree.SubElement(
            root, "testcase", classname=_clean(suite), name=_clean(case.name),
            file=_clean(str(case.file)), time=f"{case.seconds:.3f}",
        )  # fmt: skip
        if case.result is not None:
            listed = ElementTree.SubElement(node, "properties")
            for name, value in case.result.metrics().items():
                ElementTree.SubElement(listed, "property", name=name, value=f"{value:.9g}")
        if case.skipped:
            ElementTree.SubElement(node, "skipped", message=_clean(case.skipped))
        elif not case.passed:
            kind = "error" if case.result is None else "failure"
            failure = ElementTree.SubElement(node, kind, message=_clean(case.failures[0]))
            failure.text = _clean("\n".join(case.failures))
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
