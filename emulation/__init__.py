"""Topologies, scenarios, the lab of network namespaces, the simulator's front end and reports."""
