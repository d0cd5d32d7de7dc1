"""Endpoints, policies by name, the flow planner and the devices of this machine, over the native transport."""
