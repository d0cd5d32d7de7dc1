"""The same scenario many times, with one or more keys varied; independent runs use all cores."""

from __future__ import annotations

import copy
import itertools
import os
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.emulation.document import Document, ScenarioError
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result, simulate


@dataclass(frozen=True)
class Axis:
    """One key of the scenario file (dots between tables) and the values that it takes."""

    key: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> Axis:
        """From "transport.paths=1,4,16". Values are TOML, or else strings. Raises ScenarioError."""
        key, equals, rest = text.partition("=")
        if not equals or not key.strip() or not rest.strip():
            raise ScenarioError(f"--sweep {text!r}: write it as KEY=A,B,C")
        return cls(key.strip(), tuple(_value(item.strip()) for item in _split(rest)))


def _split(text: str) -> Iterator[str]:
    """At commas, but not at those inside brackets or braces."""
    depth, item = 0, ""
    for letter in text:
        depth += letter in "[{"
        depth -= letter in "]}"
        if letter == "," and depth == 0:
            yield item
            item = ""
        else:
            item += letter
    yield item


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


@dataclass
class Point:
    """One run of a sweep: the values of the axes, and the result."""

    values: dict[str, Any]
    result: Result


def scenarios(
    source: Document, axes: list[Axis], folder: Path
) -> list[tuple[dict[str, Any], Scenario]]:
    """All combinations, each read and checked. Raises ScenarioError before anything runs."""
    points = []
    for combination in itertools.product(*(axis.values for axis in axes)):
        varied = Document(source.name, copy.deepcopy(source.values), source.lines, source.case)
        values = dict(zip((axis.key for axis in axes), combination, strict=True))
        for key, value in values.items():
            try:
                varied.override(key, value)
            except (KeyError, IndexError, ValueError, TypeError):
                raise ScenarioError(
                    f"{source.name}: --sweep {key}: no such place in the scenario"
                ) from None
        points.append((values, Scenario.of(varied, folder)))
    return points


def sweep(
    points: list[tuple[dict[str, Any], Scenario]],
    on_done: Callable[[int], None] = lambda _: None,
    jobs: int | None = None,
) -> list[Point]:
    """Run all points, `jobs` at a time (default: one per core); results in the order of the points.

    `on_done` hears of each finished run. The native core releases the interpreter, so threads do.
    """
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
        running = {pool.submit(simulate, scenario): i for i, (_, scenario) in enumerate(points)}
        for future in as_completed(running):
            results[running[future]] = future.result()
            on_done(running[future])
    return [Point(values, results[i]) for i, (values, _) in enumerate(points)]


def sweep_on_ray(
    points: list[tuple[dict[str, Any], Scenario]],
    on_done: Callable[[int], None] = lambda _: None,
) -> list[Point]:
    """The same on a Ray cluster, one run per core: that of RAY_ADDRESS, else this machine.

    Raises ValueError when Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError(
            "--ray needs Ray, which is not installed: pip install 'weft[ray]'"
        ) from None
    was_up = ray.is_initialized()
    if not was_up:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
    try:
        run = ray.remote(num_cpus=1)(simulate)
        running = {run.remote(scenario): i for i, (_, scenario) in enumerate(points)}
        results: dict[int, Result] = {}
        while running:
            for done in ray.wait(list(running))[0]:
                index = running.pop(done)
                results[index] = ray.get(done)
                on_done(index)
    finally:
        if not was_up:
            ray.shutdown()
    return [Point(values, results[i]) for i, (values, _) in enumerate(points)]
