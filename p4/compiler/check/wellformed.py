"""Which types may stand where: in variables, in fields, as elements.

Specification 1.2.5, section 7.2.9; what may be a parameter of what is appendix F.
"""

from __future__ import annotations

from weft.p4.compiler import ast
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
            for item in items:
                if not (storable(item) or isinstance(item, t.Unknown)):
                    return f"a tuple cannot hold {item}"
            return next((p for p in map(flaw, items) if p), "")
        case t.List(element):
            return flaw(element)
        case t.Extern() if type_.arguments:
            return _extern_flaw(type_)
    return ""


def _extern_flaw(type_: t.Extern) -> str:
    """What type arguments make of the parameters of an extern's methods."""
    bound = dict(zip(type_.declaration.type_parameters, type_.arguments, strict=False))
    for method in type_.declaration.methods:
        owner = "constructor of an extern" if method.is_constructor else "extern"
        for p in method.parameters:
            problem = parameter_flaw(t.substitute(p.type, bound), p.direction, owner)
            if problem:
                return f"{problem} ('{p.name}' of {method.name})"
    return ""


#: Appendix F: which objects may be parameters, by who has them. Values may be, everywhere.
_OBJECTS = {
    "package": ("package", "parser", "control", "extern"),
    "constructor of a parser": ("parser", "extern"),
    "constructor of a control": ("control", "extern"),
    "constructor of an extern": ("extern",),
    "parser": ("extern",),
    "control": ("extern",),
    "extern": ("extern",),
    "action": (),
    "function": (),
}


def parameter_flaw(type_: t.Type, direction: str, owner: str) -> str:
    """What is wrong with a parameter of `owner` (a key of appendix F's tables); "" when nothing."""
    if type_ in (t.VOID, t.MATCH_KIND) or isinstance(type_, t.Table):
        return f"a parameter cannot have type {type_}"
    objects = isinstance(type_, t.Extern | t.Block)
    if direction and (objects or isinstance(type_, t.Int | t.List) or type_ == t.STRING):
        return f"a parameter of type {type_} cannot have a direction"
    if isinstance(type_, t.Block) and not isinstance(type_.declaration, ast.BlockType):
        return f"'{type_}' is a {type_.kind}, not a {type_.kind} type that parameters may have"
    if isinstance(type_, t.Extern | t.Block):
        kind = "extern" if isinstance(type_, t.Extern) else type_.kind
        if kind not in _OBJECTS[owner]:
            article = "an" if owner[0] in "aeiou" else "a"
            return f"a parameter of {article} {owner} cannot have type {type_}"
    if owner == "action" and not storable(type_):
        return f"a parameter of an action cannot have type {type_}"
    return ""
