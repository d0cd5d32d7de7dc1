"""What moves bytes out of this machine: RDMA devices and IP network cards, where they sit, and
which GPUs are near.

Read from sysfs and by netlink: no privileges, no libibverbs, no device opened.
"""

from __future__ import annotations

from weft.devices.gpus import Gpu, gpus
from weft.devices.nics import Nic, nics
from weft.devices.rdma import RdmaDevice, RdmaPort, rdma

__all__ = ["Gpu", "Nic", "RdmaDevice", "RdmaPort", "gpus", "nics", "rdma"]
