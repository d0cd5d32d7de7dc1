"""Small complete programs for tests: a v1model frame around the lines that matter."""

from __future__ import annotations

TYPES = """
header ethernet_t { bit<48> dst; bit<48> src; bit<16> kind; }
header small_t { bit<8> a; bit<8> b; bit<16> c; }
header option_t { bit<8> length; varbit<320> data; }
header_union either_t { small_t small; ethernet_t large; }
enum bit<8> Kind { One = 1, Two = 2 }
enum Colour { Red, Green, Blue }
struct headers_t {
    ethernet_t ethernet; small_t small; small_t[4] stack; option_t option; either_t either;
}
struct meta_t { bit<8> x; bit<16> y; bit<32> z; int<8> s; bool flag; Kind kind; Colour colour; }
"""


def v1model(
    *,
    types: str = "",
    parser_locals: str = "",
    states: str = "state start { p.extract(h.ethernet); transition accept; }",
    verify: str = "",
    ingress_locals: str = "",
    ingress: str = "",
    egress: str = "",
    update: str = "",
    deparser: str = "p.emit(h);",
) -> str:
    """A v1model program; each argument is source text for its place."""
    return f"""#include <core.p4>
#include <v1model.p4>
{TYPES}
{types}
parser P(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {{
{parser_locals}
{states}
}}
control V(inout headers_t h, inout meta_t m) {{ apply {{ {verify} }} }}
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {{
{ingress_locals}
apply {{
{ingress}
}} }}
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {{ apply {{ {egress} }} }}
control C(inout headers_t h, inout meta_t m) {{ apply {{ {update} }} }}
control D(packet_out p, in headers_t h) {{ apply {{ {deparser} }} }}
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""
