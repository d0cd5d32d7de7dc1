"""Endpoints, policies by name, the flow planner and devices, over the native transport."""

from weft.transport.context import Context, Notification, Peer, Region, Work

__all__ = ["Context", "Notification", "Peer", "Region", "Work"]
