"""Types as the checker knows them (specification 1.2.5, section 7).

Immutable values; equality is the language's type equality. Declared types compare by their
declaration node and type arguments. `Unknown` stands where an error was reported already: it
fits everything, so that one mistake gives one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from weft.p4.compiler import ast


@dataclass(frozen=True, slots=True)
class Type:
    """Base of all types. `str()` is what diagnostics say."""


@dataclass(frozen=True, slots=True)
class Unknown(Type):
    def __str__(self) -> str:
        return "<error>"


@dataclass(frozen=True, slots=True)
class Bits(Type):
    """`bit<width>` or `int<width>`."""

    width: int
    signed: bool = False

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'bit'}<{self.width}>"


@dataclass(frozen=True, slots=True)
class Int(Type):
    """`int`: arbitrary precision, compile-time values only."""

    def __str__(self) -> str:
        return "int"


@dataclass(frozen=True, slots=True)
class Varbit(Type):
    width: int

    def __str__(self) -> str:
        return f"varbit<{self.width}>"


@dataclass(frozen=True, slots=True)
class Simple(Type):
    """bool, string, error, match_kind, void, state, or `_` (don't care)."""

    name: str

    def __str__(self) -> str:
        return self.name


BOOL = Simple("bool")
STRING = Simple("string")
ERROR = Simple("error")
MATCH_KIND = Simple("match_kind")
VOID = Simple("void")
ANY = Simple("_")
UNKNOWN = Unknown()
INT = Int()
BIT1 = Bits(1)
BIT32 = Bits(32)


@dataclass(frozen=True, slots=True)
class Enum(Type):
    declaration: ast.Enum
    underlying: Bits | None

    def __str__(self) -> str:
        return self.declaration.name


@dataclass(frozen=True, slots=True)
class Struct(Type):
    """A struct, header or header union, with its type arguments."""

    declaration: ast.Struct
    arguments: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return self.declaration.name + _angle(self.arguments)

    @property
    def kind(self) -> str:
        return self.declaration.kind

    def fields(self) -> list[tuple[str, Type]]:
        """Names and types of the fields, type arguments filled in."""
        bound = dict(zip(self.declaration.type_parameters, self.arguments, strict=False))
        return [(f.name, substitute(f.type, bound)) for f in self.declaration.fields]

    def field(self, name: str) -> Type | None:
        return dict(self.fields()).get(name)


@dataclass(frozen=True, slots=True)
class Stack(Type):
    element: Type
    size: int

    def __str__(self) -> str:
        return f"{self.element}[{self.size}]"


@dataclass(frozen=True, slots=True)
class Tuple(Type):
    items: tuple[Type, ...]

    def __str__(self) -> str:
        return "tuple" + _angle(self.items, always=True)


@dataclass(frozen=True, slots=True)
class List(Type):
    element: Type

    def __str__(self) -> str:
        return f"list<{self.element}>"


@dataclass(frozen=True, slots=True)
class Literal(Type):
    """A list expression `{a, b}` before it has become a tuple, struct, stack or list."""

    items: tuple[Type, ...]

    def __str__(self) -> str:
        return "{ " + ", ".join(map(str, self.items)) + " }"


@dataclass(frozen=True, slots=True)
class Record(Type):
    """A struct expression `{x = a}` before it has become a struct or header."""

    names: tuple[str, ...]
    items: tuple[Type, ...]

    def __str__(self) -> str:
        pairs = zip(self.names, self.items, strict=True)
        return "{ " + ", ".join(f"{n} = {t}" for n, t in pairs) + " }"


@dataclass(frozen=True, slots=True)
class InvalidHeader(Type):
    def __str__(self) -> str:
        return "{#}"


@dataclass(frozen=True, slots=True)
class Dots(Type):
    def __str__(self) -> str:
        return "..."


@dataclass(frozen=True, slots=True)
class Variable(Type):
    """A type parameter, inside its declaration or while its value is being inferred."""

    declaration: ast.TypeParameter

    def __str__(self) -> str:
        return self.declaration.name


@dataclass(frozen=True, slots=True)
class New(Type):
    """`type X name`: a type of its own over `underlying`."""

    declaration: ast.Typedef
    underlying: Type = field(compare=False)  # the declaration says it all

    def __str__(self) -> str:
        return self.declaration.name


@dataclass(frozen=True, slots=True)
class Extern(Type):
    declaration: ast.ExternType
    arguments: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return self.declaration.name + _angle(self.arguments)


@dataclass(frozen=True, slots=True)
class Block(Type):
    """A parser, control or package: its type declaration, or a parser/control with a body."""

    declaration: ast.BlockType | ast.Parser | ast.Control
    arguments: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return self.declaration.name + _angle(self.arguments)

    @property
    def signature(self) -> ast.BlockType:
        declaration = self.declaration
        return declaration if isinstance(declaration, ast.BlockType) else declaration.signature

    @property
    def kind(self) -> str:
        return self.signature.kind

    def parameters(self) -> list[tuple[ast.Parameter, Type]]:
        bound = dict(zip(self.signature.type_parameters, self.arguments, strict=False))
        return [(p, substitute(p.type, bound)) for p in self.signature.parameters]


@dataclass(frozen=True, slots=True)
class Table(Type):
    declaration: ast.Table

    def __str__(self) -> str:
        return f"table {self.declaration.name}"


@dataclass(frozen=True, slots=True)
class ApplyResult(Type):
    """What `table.apply()` gives: hit, miss, action_run."""

    declaration: ast.Table

    def __str__(self) -> str:
        return f"apply_result({self.declaration.name})"


@dataclass(frozen=True, slots=True)
class ActionList(Type):
    """The type of `table.apply().action_run`."""

    declaration: ast.Table

    def __str__(self) -> str:
        return f"action_list({self.declaration.name})"


@dataclass(frozen=True, slots=True)
class Set(Type):
    """Type of a key set: masks, ranges, value sets."""

    element: Type

    def __str__(self) -> str:
        return f"set<{self.element}>"


@dataclass(frozen=True, slots=True)
class Callable(Type):
    """A name that can only be called: function, action, method, state."""

    what: str

    def __str__(self) -> str:
        return self.what


def _angle(arguments: tuple[Type, ...], always: bool = False) -> str:
    if not arguments and not always:
        return ""
    return "<" + ", ".join(map(str, arguments)) + ">"


Bindings = Mapping[ast.TypeParameter, Type]


def substitute(type_: Type, bound: Bindings) -> Type:
    """`type_` with type parameters replaced by what they are bound to."""
    if not bound:
        return type_
    match type_:
        case Variable(declaration):
            return bound.get(declaration, type_)
        case Struct(declaration, arguments) if arguments:
            return Struct(declaration, _all(arguments, bound))
        case Extern(declaration, arguments) if arguments:
            return Extern(declaration, _all(arguments, bound))
        case Block(declaration, arguments) if arguments:
            return Block(declaration, _all(arguments, bound))
        case Stack(element, size):
            return Stack(substitute(element, bound), size)
        case Tuple(items):
            return Tuple(_all(items, bound))
        case Literal(items):
            return Literal(_all(items, bound))
        case Record(names, items):
            return Record(names, _all(items, bound))
        case List(element):
            return List(substitute(element, bound))
        case Set(element):
            return Set(substitute(element, bound))
    return type_


def _all(types: tuple[Type, ...], bound: Bindings) -> tuple[Type, ...]:
    return tuple(substitute(t, bound) for t in types)


def variables(type_: Type) -> set[ast.TypeParameter]:
    """Type parameters that occur in a type."""
    match type_:
        case Variable(declaration):
            return {declaration}
        case (
            Struct(_, parts)
            | Extern(_, parts)
            | Block(_, parts)
            | Tuple(parts)
            | Literal(parts)
            | Record(_, parts)
        ):
            return set().union(*(variables(p) for p in parts))
        case Stack(element, _) | List(element) | Set(element):
            return variables(element)
    return set()


@lru_cache(maxsize=4096)
def leaves(type_: Type) -> int:
    """How many scalars a value of this type has; what bounds the size of generated code."""
    match resolve_new(type_):
        case Struct() as struct:
            return sum(leaves(f) for _, f in struct.fields())
        case Tuple(items):
            return sum(leaves(i) for i in items)
        case Stack(element, size):
            return leaves(element) * size
    return 1


def is_header(type_: Type) -> bool:
    return isinstance(type_, Struct) and type_.kind == "header"


def is_union(type_: Type) -> bool:
    return isinstance(type_, Struct) and type_.kind == "header_union"


def resolve_new(type_: Type) -> Type:
    """The type under all `type` declarations."""
    while isinstance(type_, New):
        type_ = type_.underlying
    return type_


def fixed_width(type_: Type) -> int | None:
    """Bits of a value of this type, None when it has no fixed size (section 8.24)."""
    match resolve_new(type_):
        case Bits(width, _):
            return width
        case Enum(_, Bits(width, _)):
            return width
        case Simple("bool"):
            return 1
        case Struct() as struct if struct.kind != "header_union":
            return _sum([t for _, t in struct.fields()])
        case Tuple(items):
            return _sum(list(items))
        case Stack(element, size):
            width_ = fixed_width(element)
            return None if width_ is None else width_ * size
    return None


def _sum(types: list[Type]) -> int | None:
    total = 0
    for type_ in types:
        width = fixed_width(type_)
        if width is None:
            return None
        total += width
    return total


def size_bounds(type_: Type) -> tuple[int, int] | None:
    """(minSizeInBits, maxSizeInBits) of a type, None for types without size (section 8.24)."""
    match resolve_new(type_):
        case Varbit(width):
            return 0, width
        case Struct() as struct:
            parts = [size_bounds(t) for _, t in struct.fields()]
            if any(p is None for p in parts):
                return None
            known = [p for p in parts if p is not None]
            if struct.kind == "header_union":
                return min((p[0] for p in known), default=0), max((p[1] for p in known), default=0)
            return sum(p[0] for p in known), sum(p[1] for p in known)
        case Stack(element, size):
            part = size_bounds(element)
            return None if part is None else (part[0] * size, part[1] * size)
    width_ = fixed_width(type_)
    return None if width_ is None else (width_, width_)
