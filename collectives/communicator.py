"""Groups of processes and what they do together.

    >>> with Context() as context, Communicator.from_environment(context) as group:
    ...     group.all_reduce(array)                     # in place, blocking
    ...     work = group.all_reduce(array, wait=False)  # in the background
    ...     work.wait()

Buffers are torch CPU tensors, NumPy arrays, or anything with the buffer protocol or DLPack; they
are used in place, never copied. `output=None` means in place where that makes sense. Every rank
must make the same calls in the same order; a difference raises Mismatch. The same inputs give
bit-identical results on every rank and in every run.

The first failure ends the group: every operation then raises the same error, on all ranks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from weft.transport import Context, Work, _c
from weft.transport.buffers import DTYPES, Buffer, buffer_of
from weft.transport.errors import InvalidArgument, WrongState

if TYPE_CHECKING:
    from weft.collectives.schedule import Schedule

REDUCTIONS = ("sum", "avg", "prod", "min", "max", "band", "bor", "bxor", "premul_sum")
ANY_SOURCE = -1


class Communicator:
    """One group. Made by `from_environment`, `create` or `split`."""

    def __init__(self, context: Context, handle: Any) -> None:
        self._context = context
        self._handle = handle

    # ---- making groups ----

    @classmethod
    def from_environment(cls, context: Context, **options: Any) -> Communicator:
        """The group of all processes that torchrun, mpirun or srun started. Rank 0 listens at
        WEFT_RENDEZVOUS=host:port, else MASTER_ADDR and MASTER_PORT. Options as for `create`."""
        ffi, lib = _c.load()
        parsed, keep = _options(**options)
        comm = ffi.new("weft_comm**")
        _c.check(lib.weft_comm_create_from_environment(context.handle, parsed, comm))
        del keep
        return cls(context, comm[0])

    @classmethod
    def create(
        cls, context: Context, group: int, rank: int, addresses: Sequence[bytes], **options: Any
    ) -> Communicator:
        """Collective: all members give the same `group` (a random 64-bit number, never reused),
        the same list of addresses in rank order, and their own rank.

        Args:
            name: for messages and statistics.
            timeout: default deadline of the group's operations, seconds.
            connect_timeout: how long to wait for members, seconds (30).
            algorithms: overrides of the tuner, e.g. `{"all_reduce": "ring"}`; `{"innet":
                "10.0.0.5:22354"}` is the controller of a switch that adds up (docs/innet.md).

        Raises InvalidArgument, Unreachable (names the rank that never came), Unauthorized.
        """
        ffi, lib = _c.load()
        parsed, keep = _options(**options)
        blobs = [ffi.from_buffer(address) for address in addresses]
        pointers = ffi.new("const void*[]", blobs)
        lengths = ffi.new("size_t[]", [len(address) for address in addresses])
        comm = ffi.new("weft_comm**")
        size = len(addresses)
        status = lib.weft_comm_create(
            context.handle, group, rank, size, pointers, lengths, parsed, comm
        )
        _c.check(status)
        del keep
        return cls(context, comm[0])

    def split(self, color: int, key: int = 0, **options: Any) -> Communicator | None:
        """Collective: ranks with equal color form a group, ordered by (key, rank). None for
        color < 0."""
        ffi, lib = _c.load()
        parsed, keep = _options(**options)
        comm = ffi.new("weft_comm**")
        _c.check(lib.weft_comm_split(self._live(), color, key, parsed, comm))
        del keep
        return None if comm[0] == ffi.NULL else Communicator(self._context, comm[0])

    # ---- what it is ----

    @property
    def rank(self) -> int:
        return int(_c.load()[1].weft_comm_rank(self._live()))

    @property
    def size(self) -> int:
        return int(_c.load()[1].weft_comm_size(self._live()))

    def explain(self, collective: str, nbytes: int) -> dict[str, Any]:
        """Which algorithm would run for this collective and size, and why."""
        _, lib = _c.load()
        text = _c.text_of(lib.weft_explain, self._live(), collective.encode(), nbytes)
        return dict(json.loads(text.rstrip(b"\0")))

    def register_schedule(self, schedule: Schedule) -> None:
        """Proves a schedule of one's own and makes it known to the group: from then on
        `algorithm=schedule.name` runs it. Every rank must register the same one.

        Raises BadSchedule (what is wrong and where), InvalidArgument (the name is taken, or the
        schedule is for another number of ranks)."""
        ffi, lib = _c.load()
        handle = ffi.cast("weft_schedule*", schedule.to_c())
        try:
            _c.check(lib.weft_comm_register_schedule(self._live(), handle))
        finally:
            lib.weft_schedule_free(handle)

    # ---- collectives: in `input`, `output` every rank's block has the same number of elements ----

    def all_reduce(self, input: Any, output: Any = None, op: str = "sum", **options: Any) -> Any:
        """output = op over all ranks' inputs."""
        return self._reduce_like("all_reduce", input, output, op, [], options)

    def reduce(
        self, input: Any, output: Any = None, op: str = "sum", root: int = 0, **options: Any
    ) -> Any:
        """The same, at `root` only."""
        return self._reduce_like("reduce", input, output, op, [root], options)

    def broadcast(self, input: Any, output: Any = None, root: int = 0, **options: Any) -> Any:
        """output = root's input."""
        output = input if output is None else output
        source, target = self._pair(input, output)
        self._same_count(source, target.count, "output", target.count, "elements")
        arguments = [self._pointer(source), self._pointer(target), target.count, target.dtype, root]
        return self._run("broadcast", arguments, (source, target), output, options)

    def all_gather(self, input: Any, output: Any, **options: Any) -> Any:
        """output = all ranks' inputs, in rank order: `size` times as long as input."""
        source, target = self._pair(input, output)
        self._same_count(source, target.count, "output", source.count * self.size, "size * input")
        arguments = [self._pointer(source), self._pointer(target), source.count, source.dtype]
        return self._run("all_gather", arguments, (source, target), output, options)

    def all_gatherv(self, input: Any, output: Any, counts: Sequence[int], **options: Any) -> Any:
        """The same with counts[r] elements from rank r."""
        source, target = self._pair(input, output)
        self._check_counts(counts, target.count, "counts", "output")
        listed = self._counts(counts)
        arguments = [self._pointer(source), self._pointer(target), listed, source.dtype]
        return self._run("all_gatherv", arguments, (source, target, listed), output, options)

    def reduce_scatter(self, input: Any, output: Any, op: str = "sum", **options: Any) -> Any:
        """output = the own block of op over all inputs: input is `size` times as long."""
        source, target = self._pair(input, output)
        self._same_count(source, source.count, "input", target.count * self.size, "size * output")
        arguments = [self._pointer(source), self._pointer(target), target.count, source.dtype]
        arguments.append(_reduction(op))
        return self._run("reduce_scatter", arguments, (source, target), output, options)

    def reduce_scatterv(
        self, input: Any, output: Any, counts: Sequence[int], op: str = "sum", **options: Any
    ) -> Any:
        """The same with counts[r] elements for rank r."""
        source, target = self._pair(input, output)
        self._check_counts(counts, source.count, "counts", "input")
        listed = self._counts(counts)
        arguments = [self._pointer(source), self._pointer(target), listed, source.dtype]
        arguments.append(_reduction(op))
        return self._run("reduce_scatterv", arguments, (source, target, listed), output, options)

    def all_to_all(self, input: Any, output: Any, **options: Any) -> Any:
        """Block r of input goes to rank r, block r of output comes from rank r."""
        source, target = self._pair(input, output)
        self._same_count(source, source.count, "input", target.count, "output")
        self._divisible(source.count)
        count = source.count // self.size
        arguments = [self._pointer(source), self._pointer(target), count, source.dtype]
        return self._run("all_to_all", arguments, (source, target), output, options)

    def all_to_allv(
        self,
        input: Any,
        send_counts: Sequence[int],
        output: Any,
        recv_counts: Sequence[int],
        **options: Any,
    ) -> Any:
        """The same with blocks of any lengths (elements), one behind the other in rank order."""
        source, target = self._pair(input, output)
        self._check_counts(send_counts, source.count, "send_counts", "input")
        self._check_counts(recv_counts, target.count, "recv_counts", "output")
        sent, received = self._counts(send_counts), self._counts(recv_counts)
        arguments = [self._pointer(source), sent, self._pointer(target), received, source.dtype]
        keep = (source, target, sent, received)
        return self._run("all_to_allv", arguments, keep, output, options)

    def gather(self, input: Any, output: Any = None, root: int = 0, **options: Any) -> Any:
        """At `root`, output = all inputs in rank order; elsewhere output may be None."""
        source = buffer_of(input, writable=False, name="input")
        target = None if output is None else buffer_of(output, writable=True, name="output")
        if target is not None and self.rank == root:
            wanted = source.count * self.size
            self._same_count(source, target.count, "output", wanted, "size * input")
        arguments = [self._pointer(source), self._pointer(target), source.count, source.dtype, root]
        return self._run("gather", arguments, (source, target), output, options)

    def scatter(self, input: Any, output: Any, root: int = 0, **options: Any) -> Any:
        """output = the own block of root's input; elsewhere input may be None."""
        source = None if input is None else buffer_of(input, writable=False, name="input")
        target = buffer_of(output, writable=True, name="output")
        if source is not None and self.rank == root:
            wanted = target.count * self.size
            self._same_count(source, source.count, "input", wanted, "size * output")
        arguments = [self._pointer(source), self._pointer(target), target.count, target.dtype, root]
        return self._run("scatter", arguments, (source, target), output, options)

    def barrier(self, **options: Any) -> Any:
        """Returns when all ranks have come here."""
        return self._run("barrier", [], (), None, options)

    # ---- point to point ----

    def send(self, memory: Any, to: int, tag: int = 0, **options: Any) -> Any:
        """Sends the bytes of `memory`; messages with equal tag between two ranks keep order."""
        buffer = buffer_of(memory, writable=False, name="memory")
        arguments = [self._pointer(buffer), buffer.nbytes, to, tag]
        return self._run("comm_send", arguments, (buffer,), memory, options)

    def recv(self, memory: Any, source: int = ANY_SOURCE, tag: int = 0, **options: Any) -> Any:
        """Receives exactly `memory`'s bytes from a rank, or from any. With wait=False the
        returned Work tells the `source`."""
        buffer = buffer_of(memory, writable=True, name="memory")
        arguments = [self._pointer(buffer), buffer.nbytes, source, tag]
        return self._run("comm_recv", arguments, (buffer,), memory, options)

    # ---- the end ----

    def abort(self, reason: str = "") -> None:
        """Ends all operations of the group, here and at all members, with Aborted."""
        _c.check(_c.load()[1].weft_comm_abort(self._live(), reason.encode()))

    def close(self) -> None:
        """Lets go of the group; operations under way end with Aborted."""
        if self._handle is not None:
            _c.check(_c.load()[1].weft_comm_destroy(self._handle))
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- shared by the calls above ----

    def _live(self) -> Any:
        if self._handle is None:
            raise WrongState("the communicator was closed")
        return self._handle

    def _reduce_like(
        self, call: str, input: Any, output: Any, op: str, root: list[int], options: dict[str, Any]
    ) -> Any:
        output = input if output is None else output
        source, target = self._pair(input, output)
        self._same_count(source, source.count, "input", target.count, "output")
        arguments = [self._pointer(source), self._pointer(target), source.count, source.dtype]
        arguments += [_reduction(op), *root]
        return self._run(call, arguments, (source, target), output, options)

    def _pair(self, input: Any, output: Any) -> tuple[Buffer, Buffer]:
        source = buffer_of(input, writable=False, name="input")
        target = buffer_of(output, writable=True, name="output")
        if source.dtype != target.dtype:
            raise InvalidArgument(
                f"input has elements of type {DTYPES[source.dtype]}, output of "
                f"{DTYPES[target.dtype]}: they must be equal"
            )
        return source, target

    def _same_count(self, _: Buffer, have: int, what: str, want: int, rule: str) -> None:
        if have != want:
            raise InvalidArgument(f"{what} has {have} elements, {rule} makes {want}")

    def _divisible(self, count: int) -> None:
        if count % self.size:
            raise InvalidArgument(
                f"input has {count} elements, which {self.size} ranks cannot share evenly: "
                "use all_to_allv"
            )

    def _check_counts(self, counts: Sequence[int], total: int, what: str, buffer: str) -> None:
        if len(counts) != self.size or min(counts) < 0:
            raise InvalidArgument(f"{what} must be {self.size} numbers >= 0, one per rank")
        if sum(counts) != total:
            raise InvalidArgument(f"{what} add up to {sum(counts)}, {buffer} has {total} elements")

    def _counts(self, counts: Sequence[int]) -> Any:
        return _c.load()[0].new("size_t[]", list(counts))

    def _pointer(self, buffer: Buffer | None) -> Any:
        ffi, _ = _c.load()
        return ffi.NULL if buffer is None else ffi.cast("void*", buffer.address)

    def _run(
        self, call: str, arguments: list[Any], keep: tuple[Any, ...], result: Any,
        options: dict[str, Any],
    ) -> Any:  # fmt: skip
        ffi, lib = _c.load()
        wait = options.pop("wait", True)
        parsed, text = _operation_options(background=not wait, **options)
        function = getattr(lib, f"weft_{call}")
        if wait:
            _c.check(function(self._live(), *arguments, parsed, ffi.NULL))
            return result
        request = ffi.new("weft_request**")
        _c.check(function(self._live(), *arguments, parsed, request))
        return Work(request[0], result, (*keep, text))


def _reduction(op: str) -> int:
    if op not in REDUCTIONS:
        raise InvalidArgument(f'no reduction "{op}"; there are: {", ".join(REDUCTIONS)}')
    return REDUCTIONS.index(op)


def _options(
    *,
    name: str = "world",
    timeout: float | None = None,
    connect_timeout: float | None = None,
    algorithms: dict[str, str] | None = None,
) -> tuple[Any, list[Any]]:
    ffi, _ = _c.load()
    options = ffi.new("weft_comm_options*")
    options.struct_size = ffi.sizeof("weft_comm_options")
    keep = [ffi.new("char[]", name.encode())]
    options.name = keep[0]
    options.timeout_ns = _c.nanoseconds(timeout, 0)
    options.connect_timeout_ns = _c.nanoseconds(connect_timeout, 0)
    if algorithms is not None:
        text = ",".join(f"{collective}={name}" for collective, name in algorithms.items())
        keep.append(ffi.new("char[]", text.encode()))
        options.algorithms = keep[1]
    return options, keep


def _operation_options(
    *,
    timeout: float | None = None,
    algorithm: str | None = None,
    scale: float = 1.0,
    priority: int = 0,
    background: bool = False,
) -> tuple[Any, Any]:
    """timeout: seconds; algorithm: instead of the tuner's choice; scale: of premul_sum; priority:
    higher goes first where operations compete."""
    ffi, _ = _c.load()
    options = ffi.new("weft_op_options*")
    options.struct_size = ffi.sizeof("weft_op_options")
    options.timeout_ns = _c.nanoseconds(timeout, 0)
    options.scale = scale
    options.priority = priority
    options.background = background
    keep = None
    if algorithm is not None:
        keep = ffi.new("char[]", algorithm.encode())
        options.algorithm = keep
    return options, keep
