"""What can go wrong, as exceptions: one class per status of `weft.h`.

Every message names the thing, the place and the mend; `peer_rank` and `peer_id` name the peer at
fault where there is one.
"""

from __future__ import annotations

from typing import NoReturn


class WeftError(RuntimeError):
    """Any failure of Weft. `peer_rank` is the rank at fault in the group at hand, or -1;
    `peer_id` its stable 64-bit id, or 0."""

    def __init__(self, message: str, peer_rank: int = -1, peer_id: int = 0) -> None:
        super().__init__(message)
        self.peer_rank = peer_rank
        self.peer_id = peer_id


class InvalidArgument(WeftError, ValueError):
    """An argument or option is out of its range."""


class WrongState(WeftError):
    """The right call at the wrong moment, e.g. on a destroyed group."""


class Unsupported(WeftError):
    """This build, machine or data type cannot do it."""


class OutOfResources(WeftError):
    """No memory, shared memory, ports or descriptors left."""


class SystemFailure(WeftError):
    """A system call failed."""


class DeadlineExceeded(WeftError, TimeoutError):
    """The operation's deadline passed."""


class PeerDied(WeftError, ConnectionError):
    """A peer died, stopped answering or left."""


class Unreachable(WeftError, ConnectionError):
    """A peer never came, or cannot be reached."""


class Mismatch(WeftError):
    """Ranks called different collectives, counts, data types or reductions."""


class Unauthorized(WeftError, PermissionError):
    """A peer could not prove that it knows the group's secret."""


class Aborted(WeftError):
    """The group was aborted or destroyed."""


class BadSchedule(WeftError, ValueError):
    """The verifier refused a schedule."""


class InternalError(WeftError):
    """A bug in Weft; please report it with the message."""


_BY_STATUS: dict[int, type[WeftError]] = {
    -1: InvalidArgument,
    -2: WrongState,
    -3: Unsupported,
    -4: OutOfResources,
    -5: SystemFailure,
    -6: DeadlineExceeded,
    -7: PeerDied,
    -8: Unreachable,
    -9: Mismatch,
    -10: Unauthorized,
    -11: Aborted,
    -12: BadSchedule,
    -13: InternalError,
}


def raise_for(status: int, message: str, peer_rank: int, peer_id: int) -> NoReturn:
    """Raises the exception of a negative `weft_status`."""
    raise _BY_STATUS.get(status, InternalError)(message, peer_rank, peer_id)
