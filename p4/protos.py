"""P4Runtime's protobuf messages, from the `p4runtime` package, under any protobuf runtime.

The package's generated modules import under protobuf 3.20 and older only, but the descriptors in
them are plain data. This module reads those and makes the message classes with the runtime that is
installed. It finds the package by its metadata, since its import name `p4` is a common one.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib import metadata
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

#: In order of dependence.
_FILES = (
    "google/rpc/status_pb2.py",
    "p4/config/v1/p4types_pb2.py",
    "p4/config/v1/p4info_pb2.py",
    "p4/v1/p4data_pb2.py",
    "p4/v1/p4runtime_pb2.py",
)
_PACKAGES = ("p4runtime", "googleapis-common-protos")


class ProtosMissing(ImportError):
    """The `p4runtime` package is not installed or not as expected."""


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """The default pool with P4Runtime's files in it."""
    assert any_pb2.DESCRIPTOR is not None  # google/protobuf/any.proto is in the pool by its import
    pool = descriptor_pool.Default()
    for name in _FILES:
        proto = name.replace("_pb2.py", ".proto")
        try:
            pool.FindFileByName(proto)
        except KeyError:
            pool.AddSerializedFile(_descriptor(name))
    return pool


def _descriptor(name: str) -> bytes:
    """The serialised FileDescriptorProto inside a generated module."""
    for package in _PACKAGES:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if str(file) == name:
                tree = ast.parse(file.read_text(encoding="utf-8"))
                return max(_bytes_in(tree), key=len)
    raise ProtosMissing(f"{name} was not found: pip install p4runtime googleapis-common-protos")


def _bytes_in(tree: ast.AST) -> list[bytes]:
    constants = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return [c for c in constants if isinstance(c, bytes)]


@cache
def message(name: str) -> Any:
    """The class of a message by its full name, such as `p4.config.v1.P4Info`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


@cache
def enum(name: str) -> dict[str, int]:
    """The values of an enum by its full name, such as `p4.config.v1.MatchField.MatchType`."""
    found = _pool().FindEnumTypeByName(name)
    return {value.name: value.number for value in found.values}
