"""Scenarios as tests: run what a folder holds, check what each promises, and write it down."""

from weft.emulation.suite.runner import Case, run_suite, scenario_files

__all__ = ["Case", "run_suite", "scenario_files"]
