"""Endpoints, policies by name, the flow planner and devices, over the native transport."""
