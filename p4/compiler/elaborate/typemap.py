"""From the checker's types to IR types.

Type arguments filled in, `typedef` and `type` erased, interned.
"""

from __future__ import annotations

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.elaborate.annotations import AnnotationReader

#: What a parameter of type int holds while a program runs: its arguments are constants, and this is
#: wide enough for any that one meets.
RUNTIME_INT = ir.BitsType(256, signed=True)


class TypeMap:
    """One per program. `declared` lists the named types so that each stands after its parts."""

    def __init__(self, annotations: AnnotationReader) -> None:
        self._annotations = annotations
        self._made: dict[t.Type, ir.Type] = {}
        self._names: set[str] = set()
        self.declared: list[ir.NamedType] = []

    def lower(self, type_: t.Type) -> ir.Type:
        """The IR type of a concrete type."""
        type_ = t.resolve_new(type_)
        known = self._made.get(type_)
        if known is None:
            known = self._made[type_] = self._make(type_)
            if isinstance(known, ir.EnumType | ir.StructType | ir.HeaderType | ir.HeaderUnionType):
                self.declared.append(known)
        return known

    def _make(self, type_: t.Type) -> ir.Type:
        match type_:
            case t.Bits(width, signed):
                return ir.BitsType(width, signed)
            case t.Int():
                return RUNTIME_INT
            case t.Varbit(width):
                return ir.VarbitType(width)
            case t.Simple(name):
                simple: dict[str, ir.Type] = {
                    "bool": ir.BOOL, "error": ir.ErrorType(), "string": ir.STRING
                }  # fmt: skip
                return simple.get(name, ir.VOID)
            case t.Enum(declaration, underlying):
                return self._enum(declaration, underlying)
            case t.Stack(element, size):
                part = self.lower(element)
                assert isinstance(part, ir.HeaderType | ir.HeaderUnionType)
                return ir.StackType(part, size)
            case t.Struct():
                return self._struct(type_)
            case t.Tuple(items) | t.Literal(items):
                fields = tuple(ir.Field(f"f{i}", self.lower(item)) for i, item in enumerate(items))
                return ir.StructType(self._unique("tuple"), fields, is_tuple=True)
            case t.Record(names, items):
                pairs = zip(names, items, strict=True)
                fields = tuple(ir.Field(name, self.lower(item)) for name, item in pairs)
                return ir.StructType(self._unique("struct"), fields)
            case t.Extern(declaration, _):
                return ir.PacketType(declaration.name)
        raise AssertionError(f"no value has type {type_}")

    def _enum(self, declaration: ast.Enum, underlying: t.Bits | None) -> ir.EnumType:
        members = tuple(m.name for m in declaration.members)
        name = self._unique(declaration.name)
        if underlying is None:
            return ir.EnumType(name, members)
        values: list[int] = []
        for member in declaration.members:
            value = member.initializer.value if member.initializer is not None else 0
            values.append(value if isinstance(value, int) else 0)
        bits = ir.BitsType(underlying.width, underlying.signed)
        return ir.EnumType(name, members, bits, tuple(values))

    def _struct(self, type_: t.Struct) -> ir.Type:
        declaration = type_.declaration
        fields = tuple(
            ir.Field(
                name,
                self.lower(part),
                type_name(node.type_ref, node.type),
                self._annotations.read(node),
            )
            for (name, part), node in zip(type_.fields(), declaration.fields, strict=True)
        )
        name = self._unique(declaration.name)
        annotations = self._annotations.read(declaration)
        if type_.kind == "header":
            return ir.HeaderType(name, fields, annotations)
        if type_.kind == "header_union":
            return ir.HeaderUnionType(name, fields, annotations)
        return ir.StructType(name, fields, annotations=annotations)

    def _unique(self, name: str) -> str:
        candidate, number = name, 0
        while candidate in self._names:
            candidate, number = f"{name}_{number}", number + 1
        self._names.add(candidate)
        return candidate


def type_name(ref: ast.TypeRef, type_: t.Type) -> str | None:
    """The name of a declared type for P4Info: of the `type` behind typedefs, else as written."""
    if isinstance(type_, t.New):
        return type_.declaration.name
    return ref.name if isinstance(ref, ast.NamedTypeRef) else None
