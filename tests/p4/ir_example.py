"""A complete IR program built by hand: Ethernet in, one exact table, Ethernet out (v1model).

It is the worked example for those who read the IR; `test_ir.py` compiles the same program from
`SOURCE` and checks that elaboration makes the same thing.
"""

from __future__ import annotations

from weft.p4.compiler import ir

SOURCE = """
#include <core.p4>
#include <v1model.p4>
header ethernet_t { bit<48> dst; bit<48> src; bit<16> kind; }
struct headers_t { ethernet_t ethernet; }
struct meta_t { }
parser P(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.ethernet); transition select(h.ethernet.kind) {
        0x800: accept; _: reject; } }
}
control V(inout headers_t h, inout meta_t m) { apply { } }
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action forward(bit<9> port) { s.egress_spec = port; }
    action drop() { mark_to_drop(s); }
    table t { key = { h.ethernet.dst: exact; } actions = { forward; drop; }
              default_action = drop(); size = 64; }
    apply { if (h.ethernet.isValid()) { if (t.apply().hit) { h.ethernet.src = 1; } } }
}
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control C(inout headers_t h, inout meta_t m) { apply { } }
control D(packet_out p, in headers_t h) { apply { p.emit(h.ethernet); } }
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""

BIT9, BIT16, BIT48, BOOL = ir.BitsType(9), ir.BitsType(16), ir.BitsType(48), ir.BoolType()
IN, OUT, INOUT, NONE = ir.Direction.IN, ir.Direction.OUT, ir.Direction.INOUT, ir.Direction.NONE
PARAMETER = ir.VariableKind.PARAMETER


def parameter(name: str, type_: ir.Type, direction: ir.Direction) -> ir.Variable:
    return ir.Variable(name, name, type_, PARAMETER, direction)


def field_of(base: ir.Expression, name: str) -> ir.Member:
    """`base.name`, with the type that the base's declaration gives."""
    fields = base.type.fields  # type: ignore[union-attr]
    return ir.Member(base, name, next(f.type for f in fields if f.name == name))


def control(name: str, parameters: tuple[ir.Variable, ...], body: ir.Block = ()) -> ir.Control:
    return ir.Control(name, name, name, parameters, (), (), (), body)


def build() -> ir.Program:
    """The program as elaboration leaves it (standard metadata cut down to one field)."""
    ethernet = ir.HeaderType(
        "ethernet_t", (ir.Field("dst", BIT48), ir.Field("src", BIT48), ir.Field("kind", BIT16))
    )
    headers = ir.StructType("headers_t", (ir.Field("ethernet", ethernet),))
    meta = ir.StructType("meta_t", ())
    standard = ir.StructType("standard_metadata_t", (ir.Field("egress_spec", BIT9),))
    packet_in, packet_out = ir.PacketType("packet_in"), ir.PacketType("packet_out")

    def metadata() -> tuple[ir.Variable, ...]:
        return (parameter("m", meta, INOUT), parameter("s", standard, INOUT))

    # Parser: the out parameter is zeroed first, so nothing is left implicit.
    p, h = parameter("p", packet_in, NONE), parameter("h", headers, OUT)
    ether = field_of(ir.VarRef(h, headers), "ethernet")
    start = ir.State(
        "start",
        body=(ir.Extract(p, ether),),
        transition=ir.Select(
            (field_of(ether, "kind"),),
            (
                ir.SelectCase((ir.Exact(ir.Const(0x800, BIT16)),), ir.ACCEPT),
                ir.SelectCase((ir.Any(),), ir.REJECT),
            ),
        ),
    )
    zero = ir.Assign(ir.VarRef(h, headers), ir.ZeroValue(headers))
    parser = ir.Parser("P", "P", "P", (p, h, *metadata()), (), (zero,), {"start": start})

    # Ingress: `if (t.apply().hit)` became a statement and a temporary.
    h = parameter("h", headers, INOUT)
    m, s = metadata()
    ether = field_of(ir.VarRef(h, headers), "ethernet")
    port = parameter("port", BIT9, NONE)
    s_ref = ir.VarRef(s, standard)
    forward = ir.Action(
        "forward", "I.forward", "I_forward", (port,),
        body=(ir.Assign(field_of(s_ref, "egress_spec"), ir.VarRef(port, BIT9)),),
    )  # fmt: skip
    marked = ir.ExternCall(
        None, "mark_to_drop", (), (ir.Argument("standard_metadata", INOUT, s_ref),)
    )
    drop = ir.Action("drop", "I.drop", "I_drop", (), body=(marked,))
    table = ir.Table(
        "t", "I.t", "I_t",
        keys=(ir.Key("h.ethernet.dst", field_of(ether, "dst"), "exact"),),
        actions=(ir.TableAction(forward), ir.TableAction(drop)),
        default_action=ir.ActionCall(drop, ()),
        default_is_const=False,
        size=64,
    )  # fmt: skip
    hit = ir.Variable("hit", "hit_0", BOOL, ir.VariableKind.TEMPORARY)
    hit_ref = ir.VarRef(hit, BOOL)
    rewrite = ir.Assign(field_of(ether, "src"), ir.Const(1, BIT48))
    body = (
        ir.If(
            ir.IsValid(ether),
            (ir.ApplyTable(table, hit=hit_ref), ir.If(hit_ref, (rewrite,))),
        ),
    )
    ingress = ir.Control("I", "I", "I", (h, m, s), (hit,), (forward, drop), (table,), body)

    out, h = parameter("p", packet_out, NONE), parameter("h", headers, IN)
    emit = ir.Emit(out, field_of(ir.VarRef(h, headers), "ethernet"))
    checksum_parameters = (parameter("h", headers, INOUT), parameter("m", meta, INOUT))
    main = ir.Package(
        "V1Switch",
        {
            "p": parser,
            "vr": control("V", checksum_parameters),
            "ig": ingress,
            "eg": control("E", (parameter("h", headers, INOUT), *metadata())),
            "ck": control("C", checksum_parameters),
            "dep": control("D", (out, h), (emit,)),
        },
        (headers, meta),
    )
    return ir.Program(
        main=main,
        types=(ethernet, headers, meta, standard),
        errors=("NoError", "PacketTooShort", "NoMatch", "StackOutOfBounds", "HeaderTooShort",
                "ParserTimeout", "ParserInvalidArgument"),
        match_kinds=("exact", "ternary", "lpm"),
    )  # fmt: skip
