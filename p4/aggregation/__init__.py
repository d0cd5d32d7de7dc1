"""All-reduce in the switch: the host side of `programs/aggregation`."""

from weft.p4.aggregation.control import AggregationSwitch as AggregationSwitch
from weft.p4.aggregation.control import NoRoom as NoRoom
from weft.p4.aggregation.worker import AggregationError as AggregationError
from weft.p4.aggregation.worker import Membership as Membership
from weft.p4.aggregation.worker import Worker as Worker
