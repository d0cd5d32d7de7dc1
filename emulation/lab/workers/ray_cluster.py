"""Workers that a Ray cluster places: Ray says which of its nodes hosts live on, and starts there
the one process that inventories reach by ssh.

with placed(2) as workers, Lab(topology, workers=workers) as lab:
    ...

Ray only places: of N workers each has a bundle of one CPU in a placement group, spread over as many
nodes as there are. What runs there is the same as with an inventory, through door.py.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import weft
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.workers import door
from weft.emulation.lab.workers.inventory import Worker

PLACE_DEADLINE = 60.0


@contextmanager
def placed(count: int | None = None) -> Iterator[list[Worker]]:
    """So many workers, or one per node that has CPUs; they last as long as the context. The
    cluster is the one that this process has joined, else that of RAY_ADDRESS or of this machine.

    Raises LabError: no Ray, no cluster, no room in it.
    """
    with ExitStack() as stack:
        yield _start(count, stack)


def _start(count: int | None, stack: ExitStack) -> list[Worker]:
    try:
        import ray
    except ModuleNotFoundError:
        raise LabError(
            "--workers ray needs Ray, which is not installed: pip install 'weft[ray]'"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
            raise LabError(
                f"--workers ray: no Ray cluster can be joined ({str(error).splitlines()[0]}); name "
                "one by RAY_ADDRESS, or start one with `ray start --head`"
            ) from None
        stack.callback(ray.shutdown)
    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    able = sum(cpu >= 1 for cpu in cpus)
    wanted = count or max(able, 1)
    full = LabError(
        f"--workers ray: the cluster has no room for {wanted} workers of one CPU each: {able} of "
        f"its {len(cpus)} nodes have CPUs, {sum(cpus):g} in all (`ray status` tells who has them)"
    )
    if wanted > sum(int(cpu) for cpu in cpus):
        raise full
    group = ray.util.placement_group([{"CPU": 1}] * wanted, strategy="SPREAD")
    stack.callback(ray.util.remove_placement_group, group)
    if not group.wait(PLACE_DEADLINE):
        raise full
    key = secrets.token_hex(32)
    file, path = tempfile.mkstemp(prefix="weft-door-")  # for this user only
    stack.callback(os.unlink, path)
    with os.fdopen(file, "w") as key_file:
        key_file.write(key)
    actors = [
        ray.remote(_Node)
        .options(
            num_cpus=1,
            scheduling_strategy=ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
                group, placement_group_bundle_index=place
            ),
        )
        .remote(key)
        for place in range(wanted)
    ]
    for actor in actors:
        stack.callback(ray.kill, actor)
    try:
        facts = ray.get([actor.open.remote() for actor in actors], timeout=PLACE_DEADLINE)
    except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
        raise LabError(f"--workers ray: a worker did not start: {error}") from None
    return [_worker(place, told, path) for place, told in enumerate(facts)]


def _worker(place: int, told: dict[str, Any], key: str) -> Worker:
    if told["weft"] != weft.__version__:
        raise LabError(
            f"--workers ray: node {told['address']} has Weft {told['weft']}, and this is "
            f"{weft.__version__}; install the same there"
        )
    command = (sys.executable, "-I", "-S", door.__file__)
    return Worker(
        f"ray{place}",
        (*command, told["address"], str(told["port"]), key),
        told["address"],
        told["python"],
    )


class _Node:
    """Runs where Ray has placed it."""

    def __init__(self, key: str) -> None:
        self._door = door.Door(key)

    async def open(self) -> dict[str, Any]:
        import ray

        address = ray.util.get_node_ip_address()
        return {
            "address": address,
            "port": await self._door.open(address),
            "python": sys.executable,
            "weft": weft.__version__,
            "pid": os.getpid(),
        }
