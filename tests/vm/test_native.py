"""Native tests that need an RDMA device (tests/native/rdma), run where there is one."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from weft.emulation.lab import Lab

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "build" / "native" / "test_rdma"
RESULTS = ROOT / "build" / "junit" / "rdma-native.xml"


def test_native_tests_pass_on_a_real_device(lab: Lab) -> None:
    assert PROGRAM.exists(), "make install builds it"
    done = lab["h0"].run([str(PROGRAM), "-r=junit"], timeout=200, check=False)
    assert done.stdout.startswith("<?xml"), done.stdout + done.stderr
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(done.stdout, encoding="utf-8")
    cases = ElementTree.fromstring(done.stdout).findall(".//testcase")
    assert len(cases) >= 8
    failed = {
        case.get("name"): [f.get("message") for f in case.findall("failure")]
        for case in cases
        if case.findall("failure") or case.findall("error")
    }
    assert not failed, failed
    assert done.returncode == 0, done.stderr
