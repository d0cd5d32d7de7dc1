"""Weft's own pieces and what they work with: native library, torch, extras, compiler."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Iterator

import weft
from weft import _native
from weft.doctor.finding import Finding, Level, observed

TOPIC = "software"
REINSTALL = "reinstall Weft: pip install --force-reinstall . (or make install in the checkout)"
EXTRAS = ("lab", "p4", "pruning", "spark")


def probe() -> Iterator[Finding]:
    """Native library, torch, extras, compiler, Java."""
    yield _native_library()
    yield _torch()
    for extra in EXTRAS:
        yield _extra(extra)
    yield _compiler()
    yield _java()


def _native_library() -> Finding:
    try:
        library = ctypes.CDLL(str(_native.path("libweft.so")))
        library.weft_version.restype = ctypes.c_char_p
        found = library.weft_version().decode()
    except FileNotFoundError:
        return Finding(TOPIC, "native library", Level.FAILED, "not installed", REINSTALL)
    except (OSError, AttributeError) as error:
        return Finding(TOPIC, "native library", Level.FAILED, str(error), REINSTALL)
    values = {"version": found, "compiler": _native.build_info().compiler}
    if found != weft.__version__:
        detail = f"is version {found}, but the Python packages are {weft.__version__}"
        return Finding(TOPIC, "native library", Level.FAILED, detail, REINSTALL, values)
    detail = f"libweft {found}, built by {values['compiler']}"
    return Finding(TOPIC, "native library", Level.OK, detail, values=values)


def _torch() -> Finding:
    """Compare the installed torch with the one that the extension was compiled against."""
    try:
        built_for = _native.build_info().torch
    except OSError:
        built_for = ""
    try:
        installed = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            TOPIC,
            "torch",
            Level.ABSENT,
            "not installed",
            "pip install 'weft[torch]', then reinstall Weft with --no-build-isolation",
            {"installed": None, "built_for": built_for or None},
        )
    values = {"installed": installed, "built_for": built_for or None}
    rebuild = (
        "in this environment: pip install --no-build-isolation --force-reinstall --no-deps weft"
    )
    if not built_for:
        detail = f"{installed}, but Weft was built without its extension"
        return Finding(TOPIC, "torch", Level.ABSENT, detail, rebuild, values)
    if built_for != installed:
        detail = f"{installed}, but the extension was compiled against {built_for}"
        return Finding(TOPIC, "torch", Level.FAILED, detail, rebuild, values)
    return Finding(TOPIC, "torch", Level.OK, f"{installed}, extension matches", values=values)


def _extra(extra: str) -> Finding:
    missing = [name for name in _requirements(extra) if not _is_installed(name)]
    return observed(
        TOPIC,
        f"extra {extra}",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "complete",
        f"pip install 'weft[{extra}]'",
        missing=missing,
    )


def _requirements(extra: str) -> list[str]:
    """Names of the distributions that an extra of Weft asks for."""
    marker = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    lines = importlib.metadata.requires("weft") or []
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if marker.search(line))
    return [name.group() for name in names if name]


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _compiler() -> Finding:
    """The system's C compiler, which turns a P4 program's generated C into a switch."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    mend = "apt install gcc libc6-dev"
    if compiler is None:
        return observed(TOPIC, "C compiler", False, "none: P4 programs cannot be compiled", mend)
    said = subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    version = (said.stdout.splitlines() or ["unknown version"])[0]
    return observed(TOPIC, "C compiler", said.returncode == 0, version, mend, path=compiler)


def _java() -> Finding:
    """A Java that Spark 4 runs on: 17 or newer."""
    mend = "apt install openjdk-17-jre-headless (only Spark as a master of pruned queries needs it)"
    java = shutil.which("java")
    if java is None:
        return observed(TOPIC, "Java", False, "none: Spark cannot run", mend)
    said = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.search(r'version "(\d+)', said.stderr + said.stdout)
    version = int(found.group(1)) if found else 0
    detail = f"version {version or 'unknown'}; Spark needs 17 or newer"
    return observed(TOPIC, "Java", version >= 17, detail, mend, path=java)
