"""All-reduce in the switch: its control plane, and its workers in virtual time.

The slot protocol itself is native (`native/innet`): groups of processes use it through
`weft.collectives` and torch (docs/innet.md), and `Worker` here puts it on a modelled wire.
"""

from weft.p4.aggregation.chip import CommandChip as CommandChip
from weft.p4.aggregation.chip import Row as Row
from weft.p4.aggregation.chip import RuntimeChip as RuntimeChip
from weft.p4.aggregation.control import AggregationSwitch as AggregationSwitch
from weft.p4.aggregation.controller import Controller as Controller
from weft.p4.aggregation.jobs import Jobs as Jobs
from weft.p4.aggregation.jobs import NoRoom as NoRoom
from weft.p4.aggregation.jobs import Place as Place
from weft.p4.aggregation.worker import AggregationError as AggregationError
from weft.p4.aggregation.worker import Membership as Membership
from weft.p4.aggregation.worker import Worker as Worker
