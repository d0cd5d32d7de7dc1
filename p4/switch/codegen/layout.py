"""Types of the IR as C types, and the ways to take values apart into scalars and words.

A scalar (bits, bool, enum, error) is stored in the smallest unsigned integer that holds it, and
computed with in `uint64_t` (up to 64 bits), `wf_u128` (up to 128) or `struct wf_w<n>`, an array of
n limbs. Signed values are kept as their two's complement bits, so every stored value is masked.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.p4.compiler import ir
from weft.p4.compiler.source import Location


class CodegenError(Exception):
    """The program is valid P4 but asks for what this architecture does not have."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(f"{location}: {message}")
        self.location = location


Scalar = ir.BitsType | ir.BoolType | ir.EnumType | ir.ErrorType
Composite = ir.StructType | ir.HeaderType | ir.HeaderUnionType
STANDARD = "standard_metadata_t"
#: Members of `struct wf_standard` (runtime/program.h), so that other names are told apart early.
STANDARD_FIELDS = frozenset(
    [
        "ingress_port",
        "egress_spec",
        "egress_port",
        "instance_type",
        "packet_length",
        "enq_timestamp",
        "enq_qdepth",
        "deq_timedelta",
        "deq_qdepth",
        "mcast_grp",
        "egress_rid",
        "checksum_error",
        "parser_error",
        "priority",
        "ingress_global_timestamp",
        "egress_global_timestamp",
    ]
)


def is_scalar(type_: ir.Type) -> bool:
    return isinstance(type_, Scalar)


def width(type_: ir.Type) -> int:
    """Bits of a scalar; errors and plain enums count as 32."""
    match type_:
        case ir.BitsType(width=bits):
            return bits
        case ir.BoolType():
            return 1
        case ir.EnumType(underlying=ir.BitsType(width=bits)):
            return bits
    return 32


def is_signed(type_: ir.Type) -> bool:
    if isinstance(type_, ir.EnumType) and type_.underlying is not None:
        return type_.underlying.signed
    return isinstance(type_, ir.BitsType) and type_.signed


def words(bits: int) -> int:
    """How many 64-bit words a value of that many bits takes (runtime/weft_p4.h)."""
    return max(1, (bits + 63) // 64)


def fixed_bits(type_: ir.Type) -> int:
    """Bits on the wire of a type, varbits not counted."""
    match type_:
        case ir.VarbitType():
            return 0
        case ir.StructType(fields=fields) | ir.HeaderType(fields=fields):
            return sum(fixed_bits(f.type) for f in fields)
    return width(type_)


def flatten(type_: ir.Type) -> Iterator[ir.Type]:
    """The scalars (and varbits) in a type, in order."""
    match type_:
        case ir.StackType(element=element, size=size):
            for _ in range(size):
                yield from flatten(element)
        case ir.StructType() | ir.HeaderType() | ir.HeaderUnionType():
            for field in type_.fields:
                yield from flatten(field.type)
        case _:
            yield type_


def total_words(type_: ir.Type) -> int:
    """Words that the scalars of a type take; a varbit takes those of its maximum and its length."""
    return sum(
        words(t.max_width) + 1 if isinstance(t, ir.VarbitType) else words(width(t))
        for t in flatten(type_)
    )


class Layout:
    """C names for the types of one program."""

    def __init__(self, program: ir.Program) -> None:
        self._program = program
        self._names: dict[int, str] = {}
        self._stacks: dict[ir.StackType, str] = {}
        self._varbits: dict[int, str] = {}
        self._declarations: list[str] = []
        self.limbs: set[int] = set()
        self.sinks: dict[str, str] = {}  # function by struct name
        for type_ in program.types:
            self._name(type_)

    def storage(self, type_: ir.Type) -> str:
        """The C type that holds a value."""
        match type_:
            case ir.StackType():
                return self._stack(type_)
            case ir.VarbitType(max_width=most):
                return self._varbit(most)
            case ir.StructType() | ir.HeaderType() | ir.HeaderUnionType():
                return self._name(type_)
        bits = width(type_)
        if bits > 128:
            return self.wide(bits)
        if bits > 64:
            return "wf_u128"
        return f"uint{next(n for n in (8, 16, 32, 64) if bits <= n)}_t"

    def computed(self, type_: ir.Type) -> str:
        """The C type in which a scalar is computed with."""
        bits = width(type_)
        return "uint64_t" if bits <= 64 else "wf_u128" if bits <= 128 else self.wide(bits)

    def wide(self, bits: int) -> str:
        self.limbs.add(words(bits))
        return f"struct wf_w{words(bits)}"

    def sink(self, type_: ir.Type) -> str:
        """A call that gives an invalid element, for stack indices out of range."""
        name = self.storage(type_)
        function = self.sinks.setdefault(name, f"wf_sink{len(self.sinks)}")
        return f"{function}()"

    def declarations(self) -> str:
        wide = [f"struct wf_w{n} {{ uint64_t w[{n}]; }};" for n in sorted(self.limbs)]
        sinks = [
            f"static {name} *{function}(void) {{ static __thread {name} sink; "
            f"memset(&sink, 0, sizeof sink); return &sink; }}"
            for name, function in self.sinks.items()
        ]
        return "\n".join([*wide, *self._declarations, *sinks])

    def _name(self, type_: ir.NamedType) -> str:
        known = self._names.get(id(type_))
        if known is not None:
            return known
        if isinstance(type_, ir.EnumType):
            return self.storage(type_)
        if type_.name == STANDARD:
            unknown = [f.name for f in type_.fields if f.name not in STANDARD_FIELDS]
            if unknown:
                raise CodegenError(
                    Location(self._program.source, 1, 1),
                    f"standard_metadata_t has fields that v1model does not know: {unknown}",
                )
            self._names[id(type_)] = "struct wf_standard"
            return "struct wf_standard"
        clean = "".join(c if c.isascii() and c.isalnum() else "_" for c in type_.name)
        name = f"struct t{len(self._names)}_{clean}"
        fields = [f"{self.storage(f.type)} f_{f.name};" for f in type_.fields]
        if isinstance(type_, ir.HeaderType):
            fields.insert(0, "uint8_t valid;")
        if not fields:
            fields = ["uint8_t nothing;"]
        self._names[id(type_)] = name
        self._declarations.append(f"{name} {{ {' '.join(fields)} }};")
        return name

    def _stack(self, type_: ir.StackType) -> str:
        if type_ not in self._stacks:
            element = self.storage(type_.element)
            name = f"struct s{len(self._stacks)}_stack"
            self._stacks[type_] = name
            size = max(1, type_.size)
            self._declarations.append(f"{name} {{ uint32_t next; {element} e[{size}]; }};")
        return self._stacks[type_]

    def _varbit(self, most: int) -> str:
        if most not in self._varbits:
            name = f"struct wf_varbit{most}"
            self._varbits[most] = name
            size = max(1, (most + 7) // 8)
            self._declarations.append(f"{name} {{ uint32_t bits; uint8_t d[{size}]; }};")
        return self._varbits[most]
