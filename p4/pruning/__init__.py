"""Queries through a switch that drops rows which cannot change the answer."""

from weft.p4.pruning.cluster import Wires as Wires
from weft.p4.pruning.connection import Answer as Answer
from weft.p4.pruning.connection import Connection as Connection
from weft.p4.pruning.connection import Report as Report
from weft.p4.pruning.connection import connect as connect
