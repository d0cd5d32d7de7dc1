"""Labs that span machines: hosts live on workers, the fabric here, UDP tunnels join them.

[[workers]]                                     # inventory.toml
name = "a"
command = ["ssh", "-o", "BatchMode=yes", "node-a"]
address = "192.0.2.7"
python = "/opt/weft/bin/python"

Lab(topology, workers=inventory.load(Path("inventory.toml")))

Where a Ray cluster is up, it may choose the machines instead (ray_cluster.py).

The fabric process stays one, so that the model stays one: what is spread is what hosts compute.
docs/scale.md says how far that carries, and what comes after it.
"""

from weft.emulation.lab.workers.inventory import Worker, load

__all__ = ["Worker", "load"]
