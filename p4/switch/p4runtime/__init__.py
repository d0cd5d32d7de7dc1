"""A P4Runtime server for a switch (P4Runtime specification 1.4): `Server(switch).start(address)`.

`entities` translates between messages and the switch; `server` has calls, arbitration, streams.
`client` is the other end: a control plane's.
"""

from weft.p4.switch.p4runtime.server import Server as Server
