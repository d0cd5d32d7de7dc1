"""Statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.p4.compiler.ast.types import Node

if TYPE_CHECKING:
    from weft.p4.compiler.ast.declarations import Statement, Variable
    from weft.p4.compiler.ast.expressions import Argument, Call, Expression
    from weft.p4.compiler.ast.types import Annotation, TypeRef


@dataclass(slots=True, eq=False)
class Assignment(Node):
    """`op` is "=" or a compound one such as "+="."""

    target: Expression
    op: str
    value: Expression


@dataclass(slots=True, eq=False)
class CallStatement(Node):
    call: Call


@dataclass(slots=True, eq=False)
class DirectApplication(Node):
    """`Type.apply(...)`: an anonymous instance, applied where it stands."""

    target: TypeRef
    arguments: list[Argument]
    resolved: Any = field(init=False, default=None, repr=False)


@dataclass(slots=True, eq=False)
class Block(Node):
    annotations: list[Annotation]
    items: list[Statement]


@dataclass(slots=True, eq=False)
class If(Node):
    condition: Expression
    then: Statement
    otherwise: Statement | None


@dataclass(slots=True, eq=False)
class Empty(Node):
    pass


@dataclass(slots=True, eq=False)
class Return(Node):
    value: Expression | None


@dataclass(slots=True, eq=False)
class Break(Node):
    pass


@dataclass(slots=True, eq=False)
class Continue(Node):
    pass


@dataclass(slots=True, eq=False)
class Exit(Node):
    pass


@dataclass(slots=True, eq=False)
class SwitchCase(Node):
    """`body` is None where the label falls through to the next one."""

    label: Expression
    body: Block | None


@dataclass(slots=True, eq=False)
class Switch(Node):
    subject: Expression
    cases: list[SwitchCase]
    is_action_run: bool = field(init=False, default=False)


@dataclass(slots=True, eq=False)
class For(Node):
    annotations: list[Annotation]
    init: list[Statement]
    condition: Expression
    update: list[Statement]
    body: Statement


@dataclass(slots=True, eq=False)
class ForIn(Node):
    annotations: list[Annotation]
    variable: Variable
    collection: Expression  # Range or a list/stack expression
    body: Statement
