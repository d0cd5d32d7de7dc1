"""Memory of any library: where it lies, how long it is and what its elements are.

Accepted: torch CPU tensors, NumPy arrays, everything with the buffer protocol, and everything with
DLPack. Nothing is ever copied: memory that is not contiguous, not on the CPU or (for a
destination) not writable is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.transport.errors import InvalidArgument, Unsupported

# Names of weft_dtype in the order of its values, then what other libraries call them.
DTYPES = (
    *("u8", "i8", "i16", "i32", "i64", "bool", "f16", "bf16", "f32", "f64"),
    *("f8_e4m3", "f8_e5m2", "c64", "c128"),
)
_VALUES = {name: value for value, name in enumerate(DTYPES)}
_FOREIGN = {
    "uint8": "u8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "bool": "bool",
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "float8_e4m3fn": "f8_e4m3",
    "float8_e5m2": "f8_e5m2",
    "complex64": "c64",
    "complex128": "c128",
}


@dataclass(frozen=True, slots=True)
class Buffer:
    """A stretch of memory. `owner` keeps it alive."""

    address: int
    count: int  # elements
    dtype: int  # weft_dtype
    itemsize: int  # bytes of one element
    owner: object

    @property
    def nbytes(self) -> int:
        return self.count * self.itemsize


def buffer_of(memory: Any, *, writable: bool, name: str) -> Buffer:
    """The memory behind `memory`; `name` is what error messages call it.

    Raises InvalidArgument (not contiguous, not writable, not memory) or Unsupported (not on the
    CPU, or of an element type that Weft does not know).
    """
    if hasattr(memory, "data_ptr"):
        return _of_tensor(memory, name)
    return _of_array(_as_array(memory, name), memory, writable, name)


def _dtype(foreign: str, name: str) -> int:
    try:
        return _VALUES[_FOREIGN[foreign]]
    except KeyError:
        known = ", ".join(_FOREIGN)
        raise Unsupported(f"{name} has elements of type {foreign}; Weft moves {known}") from None


def _of_tensor(tensor: Any, name: str) -> Buffer:
    if tensor.device.type != "cpu":
        raise Unsupported(
            f"{name} is on {tensor.device}: this call moves CPU memory; tensors of accelerators "
            'are moved by torch.distributed with the "weft" backend'
        )
    if not tensor.is_contiguous():
        raise InvalidArgument(f"{name} is not contiguous: pass {name}.contiguous()")
    dtype = _dtype(str(tensor.dtype).removeprefix("torch."), name)
    return Buffer(tensor.data_ptr(), tensor.numel(), dtype, tensor.element_size(), tensor)


def _as_array(memory: Any, name: str) -> np.ndarray[Any, Any]:
    if isinstance(memory, np.ndarray):
        return memory
    try:
        return np.asarray(memoryview(memory))
    except TypeError:
        pass
    if hasattr(memory, "__dlpack__"):
        try:
            return np.from_dlpack(memory)
        except (BufferError, RuntimeError, TypeError) as error:
            raise Unsupported(f"{name} cannot be reached through DLPack: {error}") from error
    raise InvalidArgument(
        f"{name} is a {type(memory).__name__}, which is not memory: pass a NumPy array, a torch "
        "tensor, or anything with the buffer protocol or DLPack"
    )


def _of_array(array: np.ndarray[Any, Any], owner: object, writable: bool, name: str) -> Buffer:
    if not array.flags.c_contiguous:
        raise InvalidArgument(f"{name} is not contiguous: pass numpy.ascontiguousarray({name})")
    if writable and not array.flags.writeable:
        raise InvalidArgument(f"{name} is read-only, but the result shall be written there")
    if array.dtype.byteorder == ">":
        raise Unsupported(f"{name} is in big-endian byte order")
    dtype = _dtype(array.dtype.name, name)
    return Buffer(array.ctypes.data, array.size, dtype, array.itemsize, (array, owner))
