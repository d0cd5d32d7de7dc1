# ruff: noqa: E501 - tables of P4 source
"""Hostile programs: every one ends, soon, with a diagnostic and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from p4_programs import v1model
from test_accepted import PROGRAMS

from weft.p4.compiler import CompileError, compile_file, compile_text
from weft.p4.switch.codegen import generate

DEEP = 6_000

HOSTILE = {
    "parentheses": v1model(ingress="m.x = " + "(" * DEEP + "1" + ")" * DEEP + ";"),
    "braces": v1model(ingress="{" * DEEP + "}" * DEEP),
    "prefixes": v1model(ingress="m.x = " + "~" * DEEP + "m.x;"),
    "casts": v1model(ingress="m.x = " + "(bit<8>)" * DEEP + "m.x;"),
    "members": v1model(ingress="m.x = m" + ".x" * DEEP + ";"),
    "indices": v1model(ingress="m.x = m" + "[0]" * DEEP + ";"),
    "ternaries": v1model(ingress="m.x = " + "m.flag ? m.x : " * DEEP + "1;"),
    "type arguments": v1model(types="tuple<" * DEEP + "bit<8>" + ">" * DEEP + " x;"),
    "else ifs": v1model(ingress="if (m.flag) { } else " * DEEP + "{ }"),
    "huge literal": v1model(ingress="m.x = 1" + "0" * 100_000 + ";"),
    "huge width": v1model(ingress="bit<99999999999999999999> v;"),
    "huge literal width": v1model(ingress="m.x = (bit<8>)99999999999w1;"),
    "huge stack": v1model(types="struct big { small_t[1000000000] s; }"),
    "huge shift": v1model(ingress="const int k = 1 << (1 << 60);"),
    "repeated squares": v1model(
        types="const int k0 = 3;" + "".join(f"const int k{i + 1} = k{i} << 60000;" for i in range(9))
        + "const bit<8> z = k9;"
    ),
    "macro bomb": "#define A0 x x x x x x x x x x\n"
    + "".join(f"#define A{i + 1} " + f"A{i} " * 10 + "\n" for i in range(12)) + "A12\n",
    "open macro": "#define F(a) a\nF(" + "(" * DEEP,
    "deep condition": "#if " + "(" * DEEP + "1\n#endif\n",
    "endless comment": "/*" * DEEP,
    "nested structs": v1model(
        types="struct s0 { bit<8> a; }"
        + "".join(f"struct s{i + 1} {{ s{i} a; }}" for i in range(DEEP))
        + "header h { s6000 x; }"
    ),
    "newtypes of newtypes": v1model(
        types="type bit<8> t0;"
        + "".join(f"type t{i} t{i + 1};" for i in range(DEEP))
        + f"const t{DEEP} x = 1;"
    ),
    "long sum": v1model(ingress="m.x = " + " + ".join(["m.x"] * DEEP) + ";"),
    "no text": "",
    "bytes": "\x00\x01\xff" * 100,
    "type bomb": v1model(
        types="struct s0 { bit<8> a; bit<8> b; }"
        + "".join(f"struct s{i + 1} {{ s{i} a; s{i} b; }}" for i in range(40)) + "header h { s40 x; }"
    ),
    "instance bomb": v1model(
        types="control c0() { apply { } }"
        + "".join(f"control c{i + 1}() {{ c{i}() a; c{i}() b; apply {{ a.apply(); b.apply(); }} }}" for i in range(40)),
        ingress="c40.apply();",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(180)
def test_ends_with_a_diagnostic(name: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_text(HOSTILE[name], "hostile.p4")
    assert caught.value.diagnostics.errors


@pytest.mark.parametrize(
    "source",
    [
        v1model(ingress="m.x = " + "m.flag ? m.x : " * 3000 + "m.x;"),
        v1model(
            states="state start { transition s0; }"
            + "".join(f"state s{i} {{ transition s{i + 1}; }}" for i in range(3000))
            + "state s3000 { transition accept; }"
        ),
    ],
    ids=["choices", "states"],
)
def test_deep_but_valid_programs_reach_c(source: str) -> None:
    assert "wf_program" in generate(compile_text(source)).text


def test_a_file_that_includes_itself(tmp_path: Path) -> None:
    loop = tmp_path / "loop.p4"
    loop.write_text('#include "loop.p4"\n')
    with pytest.raises(CompileError, match="nested more than"):
        compile_file(loop)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="cannot read the file"):
        compile_file(tmp_path / "nothing.p4")


def test_long_but_honest_programs_compile() -> None:
    sums = " + ".join(["m.x"] * 400)
    chain = "".join(f"if (m.x == {i}) {{ m.y = {i}; }} else " for i in range(200)) + "{ }"
    compile_text(v1model(ingress=f"m.x = {sums}; {chain}"))


def test_damaged_programs_end_with_a_diagnostic_or_compile(seed: int) -> None:
    """Random cuts, swaps and insertions in valid programs: never another exception."""
    chance = random.Random(seed)
    sources = list(PROGRAMS.values())
    pieces = ["{", "}", "(", ")", ";", "<", ">", "bit", "8w3", ".", "@", "apply", "=", "_", "..."]
    refused = 0
    for _ in range(250):
        words = chance.choice(sources).split(" ")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(20, len(words))
            kind = chance.randrange(3)
            if kind == 0:
                del words[at]
            elif kind == 1:
                words.insert(at, chance.choice(pieces))
            else:
                other = chance.randrange(20, len(words))
                words[at], words[other] = words[other], words[at]
        try:
            compile_text(" ".join(words))
        except CompileError:
            refused += 1
    assert refused > 100
