"""How the master gets rows from a worker: Arrow Flight over TCP.

A request names a run, a table and columns, and says which rows: `all` of the run's, those whose
numbers are sent along (`survivors`), or those whose keys are (`keyed`). `restrict` takes none: it
tells the worker that the run goes on with the survivors only. A worker answers only who knows the
session's token, and nothing in a request is more than data.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

from weft.p4.pruning.worker import Worker

PORT = 22353
DEADLINE_S = 600.0
HOW = ("all", "survivors", "keyed", "restrict")
#: Flight would otherwise send requests to a proxy that the environment names.
_OPTIONS = [("grpc.enable_http_proxy", 0)]


class RequestError(ValueError):
    """Bytes that are no request; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    token: str
    run: int
    table: str
    columns: tuple[str, ...]
    how: str

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, text: bytes) -> Request:
        """Raises `RequestError` for anything but a whole request."""
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise RequestError(f"not JSON: {problem}") from None
        if not isinstance(given, dict) or set(given) != set(cls.__slots__):
            raise RequestError(f"a request has exactly {', '.join(cls.__slots__)}")
        columns = given["columns"]
        texts = [given["token"], given["table"], *(columns if isinstance(columns, list) else [0])]
        if not all(isinstance(t, str) for t in texts) or type(given["run"]) is not int:
            raise RequestError("run is a number, token and table are texts, columns a list of them")
        if given["how"] not in HOW:
            raise RequestError(f"how is one of {', '.join(HOW)}, not {given['how']!r}")
        return cls(given["token"], given["run"], given["table"], tuple(columns), given["how"])


def answer(worker: Worker, token: str, text: bytes, given: pa.Table) -> pa.Table:
    """What a worker says to a request; raises `RequestError` when it says nothing."""
    request = Request.parse(text)
    if not hmac.compare_digest(request.token.encode(), token.encode()):
        raise RequestError("wrong token")
    fragment = worker.fragments.get(request.table)
    if fragment is None or not set(request.columns) <= set(fragment.column_names):
        raise RequestError(f"no table {request.table} with columns {', '.join(request.columns)}")
    try:
        if request.how == "keyed":
            if not set(given.column_names) <= set(fragment.column_names):
                raise RequestError(f"{request.table} has no keys {given.column_names}")
            return worker.take_keyed(request.run, request.table, request.columns, given)
        survivors = None
        if request.how in ("survivors", "restrict"):
            if given.column_names != ["id"] or not pa.types.is_integer(given["id"].type):
                raise RequestError("survivors come as one column of integers, id")
            survivors = given["id"].to_numpy().astype(np.int64)
            if len(survivors) and not 0 <= survivors.min() <= survivors.max() < len(fragment):
                raise RequestError(f"{request.table} has rows 0..{len(fragment) - 1}")
            if request.how == "restrict":
                worker.restrict(request.run, request.table, survivors)
                return fragment.select(list(request.columns)).slice(0, 0)
        return worker.take(request.run, request.table, request.columns, survivors)
    except KeyError:
        raise RequestError(f"run {request.run} asked nothing of {request.table}") from None


class Shelf(flight.FlightServerBase):  # type: ignore[misc]
    """A worker's rows, for the master to take."""

    def __init__(self, ip: str, worker: Worker, token: str) -> None:
        super().__init__(f"grpc://{ip}:{PORT}")
        self._worker, self._token = worker, token
        self.refused = 0

    def do_exchange(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.MetadataRecordBatchWriter,
    ) -> None:
        try:
            table = answer(self._worker, self._token, descriptor.command or b"", reader.read_all())
        except RequestError as problem:
            self.refused += 1
            raise flight.FlightServerError(str(problem)) from None
        writer.begin(table.schema)
        writer.write_table(table)


class Taker:
    """The master's end of one worker's shelf."""

    def __init__(self, ip: str) -> None:
        self._client = flight.FlightClient(f"grpc://{ip}:{PORT}", generic_options=_OPTIONS)

    def take(self, request: Request, given: pa.Table | Sequence[int] = ()) -> pa.Table:
        """Rows; `given` are the numbers or keys that the request speaks of."""
        if not isinstance(given, pa.Table):
            given = pa.table({"id": pa.array(given, pa.int64())})
        options = flight.FlightCallOptions(timeout=DEADLINE_S)
        writer, reader = self._client.do_exchange(
            flight.FlightDescriptor.for_command(request.encode()), options
        )
        with writer:
            writer.begin(given.schema)
            writer.write_table(given)
            writer.done_writing()
            return reader.read_all()

    def close(self) -> None:
        self._client.close()
