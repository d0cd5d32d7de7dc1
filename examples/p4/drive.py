"""A P4 program as a Python object: tables, packets and counters without a network.

python examples/p4/drive.py
"""

from __future__ import annotations

from pathlib import Path

from weft.p4.switch import Switch

SOURCE = Path(__file__).with_name("reflector.p4")


def main() -> None:
    frame = bytes.fromhex("0200000000020200000000010800") + b"hello"
    with Switch.load(SOURCE) as switch:
        print("unknown station:", switch.send(1, frame))
        entry = switch.table("stations").insert(["02:00:00:00:00:02"], "forward", [2])
        print("known station:", switch.send(1, frame))
        switch.table("stations").modify(entry, "drop")
        print("unwanted station:", switch.send(1, frame))
        print("packets from port 1:", switch.counter("by_port").read(1)[0])


if __name__ == "__main__":
    main()
