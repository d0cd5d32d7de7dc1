"""The front end is quick: its share of the way from source to first packet stays small."""

from __future__ import annotations

import time

from p4_programs import v1model

from weft.p4.compiler import compile_text


def router(tables: int) -> str:
    """A program of about ten lines per table."""
    locals_ = "\n".join(
        f"""
        action set_{i}(bit<9> port, bit<48> mac) {{
            s.egress_spec = port;
            h.ethernet.src = h.ethernet.dst;
            h.ethernet.dst = mac;
        }}
        table t_{i} {{
            key = {{ h.ethernet.dst: exact; h.small.c: lpm; }}
            actions = {{ set_{i}; NoAction; }}
            default_action = NoAction();
        }}"""
        for i in range(tables)
    )
    apply = "\n".join(f"if (h.small.isValid()) {{ t_{i}.apply(); }}" for i in range(tables))
    return v1model(ingress_locals=locals_, ingress=apply)


def test_time_grows_with_the_program_and_not_faster() -> None:
    """A ratio, not a time, so that a busy machine does not matter; quadratic passes would show."""
    compile_text(router(10))  # automaton and caches

    def cost(tables: int) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            compile_text(router(tables))
            best = min(best, time.process_time() - start)
        return best

    assert cost(240) < 16 * cost(30)
