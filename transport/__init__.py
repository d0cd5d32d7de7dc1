"""Endpoints, policies by name, the flow planner and devices, over the native transport."""

from weft.transport.context import Context, Notification, Peer, Region, Work
from weft.transport.plan import Piece, Plan, plan

__all__ = ["Context", "Notification", "Peer", "Piece", "Plan", "Region", "Work", "plan"]
