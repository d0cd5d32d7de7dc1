"""Emulated fabrics for real processes: hosts are network namespaces, the network between them is
`native/fabric` by the wall clock.

from weft.emulation import Topology
from weft.emulation.lab import Lab
with Lab(Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=2, rate="1Gbit/s")) as lab:
    print(lab["h0"].cmd("ip -br addr"))
    print(lab.ping_all())
"""

from weft.emulation.lab.errors import FabricDied, LabError
from weft.emulation.lab.fidelity import Fidelity
from weft.emulation.lab.host import Host
from weft.emulation.lab.lab import Lab
from weft.emulation.lab.run import Outcome, run

__all__ = ["FabricDied", "Fidelity", "Host", "Lab", "LabError", "Outcome", "run"]
