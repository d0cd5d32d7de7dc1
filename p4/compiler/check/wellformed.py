"""Which types may stand where: in variables, in fields, as elements.

Specification 1.2.5, section 7.2.9.
"""

from __future__ import annotations

from weft.p4.compiler import types as t


def storable(type_: t.Type) -> bool:
    """Can a variable, struct field or out parameter have this type?"""
    match type_:
        case t.Int() | t.Extern() | t.Block() | t.Table() | t.Set() | t.List():
            return False
        case t.Simple():
            return type_ in (t.BOOL, t.ERROR)
        case t.Tuple(items):
            return all(storable(i) for i in items)
    return True


def field_fits(kind: str, type_: t.Type) -> bool:
    """Can a field of a struct, header or header_union have this type?"""
    inner = t.resolve_new(type_)
    if isinstance(inner, t.Unknown | t.Variable):
        return True
    if kind == "header_union":
        return t.is_header(inner)
    if kind == "struct":
        return storable(inner)
    match inner:
        case t.Bits() | t.Varbit():
            return True
        case t.Enum(_, underlying):
            return underlying is not None
        case t.Struct():
            parts = inner.fields() if inner.kind == "struct" else None
            return parts is not None and all(field_fits(kind, p) for _, p in parts)
    return inner == t.BOOL


def flaw(type_: t.Type) -> str:
    """What is wrong with a type once its type arguments are in place; "" when nothing is."""
    match type_:
        case t.Stack(element, _):
            open_ = isinstance(element, t.Variable | t.Unknown)
            if not (open_ or t.is_header(element) or t.is_union(element)):
                return f"a stack must be of headers or header unions, not of {element}"
            return flaw(element)
        case t.Struct() if type_.arguments:
            for name, field in type_.fields():
                if not field_fits(type_.kind, field):
                    kind = type_.kind.replace("_", " ")
                    return f"field '{name}' of {kind} {type_} cannot have type {field}"
                problem = flaw(field)
                if problem:
                    return problem
        case t.Tuple(items):
            return next((p for p in map(flaw, items) if p), "")
        case t.List(element):
            return flaw(element)
    return ""
