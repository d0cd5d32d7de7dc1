"""The preprocessor: directives, macros, includes, and where lines come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.p4.compiler import CompileError, Diagnostics
from weft.p4.compiler.conditions import ConditionError, evaluate
from weft.p4.compiler.preprocess import Macro, Preprocessor


def run(text: str, **macros: str) -> list[str]:
    """The non-empty lines, spaces collapsed."""
    diagnostics = Diagnostics()
    given = {name: Macro(name, body) for name, body in macros.items()}
    lines = Preprocessor(diagnostics, (), given).run("main.p4", text)
    diagnostics.raise_if_errors()
    return [" ".join(line.text.split()) for line in lines if line.text.strip()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a // b\nc /* d\n e */ f", ["a", "c", "f"]),
        ('x = "// no comment";', ['x = "// no comment";']),
        ("#define N 3\nN M N", ["3 M 3"]),
        ("#define N 3\n#undef N\nN", ["N"]),
        ("#define N M\n#define M N\nN", ["N"]),
        ("#define F(a, b) a + b\nF(1, (2, 3)) F", ["1 + (2, 3) F"]),
        ("#define F(a) a\nF(\n1\n)", ["1"]),
        ("#define F() 7\nF()", ["7"]),
        ("#define C(a, b) a ## b\nC(x, y)", ["xy"]),
        ("#define S(a) #a\nS(x)", ['"x"']),
        ("#define A 1 \\\n + 2\nA", ["1 + 2"]),
        ("#if 1\na\n#else\nb\n#endif", ["a"]),
        ("#if 0\na\n#elif 2 > 1\nb\n#elif 1\nc\n#else\nd\n#endif", ["b"]),
        ("#if 0\n#if 1\na\n#else\nb\n#endif\n#endif\nc", ["c"]),
        ("#ifdef X\na\n#endif\n#ifndef X\nb\n#endif", ["b"]),
        ("#define X\n#if defined(X) && !defined Y\na\n#endif", ["a"]),
        ("#define V 20200408\n#if V >= 20200408\nnew\n#endif", ["new"]),
        ("#if 0\n#error no\n#endif\nok", ["ok"]),
        ("#pragma once\n#line 3\nx", ["x"]),
        ("# define A 1\n  #  if A\nx\n#endif", ["x"]),
        ("__LINE__", ["1"]),
    ],
)
def test_text(text: str, expected: list[str]) -> None:
    assert run(text) == expected


def test_macros_from_outside() -> None:
    assert run("N", N="5") == ["5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#if 1\na", "#if without #endif"),
        ("#endif", "#endif without #if"),
        ("#else", "#else without #if"),
        ("#if 1\n#else\n#else\n#endif", "#else after #else"),
        ("#error stop here", "#error stop here"),
        ("#nonsense", "unknown preprocessor directive #nonsense"),
        ("#include <nowhere.p4>", "cannot find the include file 'nowhere.p4'"),
        ("#include nothing", '#include needs "file" or <file>'),
        ("#define", "#define needs a name"),
        ("#define F(a) a\nF(1, 2)", "takes 1 arguments, 2 given"),
        ("#if 1 +\n#endif", "ends too early"),
        ("#if 1 / 0\n#endif", "division by zero"),
        ("/* open", "comment without its end"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        run(text)
    assert message in str(caught.value)


def test_includes_are_found_beside_the_file_and_in_folders(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "near.p4").write_text("near\n")
    (tmp_path / "lib" / "far.p4").write_text('far\n#include "farther.p4"\n')
    (tmp_path / "lib" / "farther.p4").write_text("farther\n")
    main = tmp_path / "main.p4"
    text = '#include "near.p4"\n#include <far.p4>\nmain\n'
    lines = Preprocessor(Diagnostics(), [tmp_path / "lib"]).run(str(main), text)
    places = [(Path(line.file).name, line.number) for line in lines]
    assert places == [("near.p4", 1), ("far.p4", 1), ("farther.p4", 1), ("main.p4", 3)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 / 2 % 2", 1), ("1 << 4 >> 2", 4), ("~0", -1),
        ("!3 || 2 && 1", 1), ("0x10 == 16", 1), ("1 ? 2 : 3", 2), ("unknown", 0), ("-3 < 2", 1),
        ("6 & 3 | 8 ^ 1", 11),
    ],
)  # fmt: skip
def test_conditions(text: str, value: int) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize("text", ["", "1 +", "(1", "1 2", "$", "1 ? 2", "1 / 0", "08z"])
def test_bad_conditions(text: str) -> None:
    with pytest.raises(ConditionError):
        evaluate(text)
