# ruff: noqa: E501 - tables of P4 source
"""Programs for PSA and PNA: checked, formatted and drawn; run they are not, and that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.p4.compiler import CompileError, Diagnostics, check_all, compile_text
from weft.p4.switch import Switch
from weft.p4.switch.codegen.layout import CodegenError

PROGRAMS = Path(__file__).parent / "architectures"


@pytest.mark.parametrize(("name", "package"), [("psa", "PSA_Switch"), ("pna", "PNA_NIC")])
def test_a_whole_program(name: str, package: str) -> None:
    path = PROGRAMS / f"{name}.p4"
    diagnostics = Diagnostics()
    program = compile_text(path.read_text(), str(path), diagnostics=diagnostics)
    assert diagnostics.render() == ""
    with pytest.raises(CodegenError, match=f"runs the v1model architecture.*not {package}"):
        Switch(program)
    text = path.read_text()
    for include in ("psa.p4", "bmv2/psa.p4"):
        check_all(text.replace("psa.p4", include), "t.p4", diagnostics=Diagnostics())


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("psa", "Counter<bit<32>, PortId_t>(100, ", "Counter<bit<32>, PortId_t>(", "takes 2 arguments, 1 given"),
        ("psa", "psa_empty_group_action = NoAction()", "psa_empty_group_action = 3", "must be an action"),
        ("psa", "psa_empty_group_action = NoAction()", "psa_empty_group_action = fwd", "not in the list"),
        ("psa", "o.egress_port = (PortId_t)3", "o.egress_port = 32w3", "expected PortId_t"),
        ("psa", "EgressPipeline(EP(), EG(), ED())", "EgressPipeline(EP(), IG(), ED())", "IG"),
        ("pna", "send_to_port(p)", "send_to_port(m.p)", "must be a compile-time constant"),
    ],
)  # fmt: skip
def test_refused(name: str, old: str, new: str, message: str) -> None:
    text = (PROGRAMS / f"{name}.p4").read_text()
    assert old in text
    with pytest.raises(CompileError, match=message):
        check_all(text.replace(old, new, 1), "t.p4", diagnostics=Diagnostics())
