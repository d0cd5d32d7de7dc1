"""Topologies, scenarios, the simulator's front end, the lab of network namespaces, and reports."""

from weft.emulation.document import ScenarioError
from weft.emulation.events import Event
from weft.emulation.policy import Policy, Queues, Transport
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result, simulate
from weft.emulation.sweep import Axis, Point, sweep, sweep_on_ray
from weft.emulation.topology import LinkSpec, Topology
from weft.emulation.workload import Workload

__all__ = [
    "Axis",
    "Event",
    "LinkSpec",
    "Point",
    "Policy",
    "Queues",
    "Result",
    "Scenario",
    "ScenarioError",
    "Topology",
    "Transport",
    "Workload",
    "simulate",
    "sweep",
    "sweep_on_ray",
]
