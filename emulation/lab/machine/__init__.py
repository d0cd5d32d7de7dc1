"""Virtual machines as hosts of a lab: real RDMA (soft-RoCE) where this machine has none."""

from weft.emulation.lab.machine.image import Image, MachineUnavailable
from weft.emulation.lab.machine.machine import Machine, MachineOptions

__all__ = ["Image", "Machine", "MachineOptions", "MachineUnavailable"]
