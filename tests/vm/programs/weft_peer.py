"""The Weft side of pyverbs_peer.py: prints its address, is called, and sends back what it received;
runs in a machine. `weft_peer.py SPEC`, SPEC in JSON: secret, sizes, transport (options)."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

from weft.transport import Context


def main() -> int:
    spec = json.loads(sys.argv[1])
    with Context(
        secret=spec["secret"], datapaths=["verbs"], transport=spec["transport"], timeout=100.0,
        peer_timeout=10.0,
    ) as context:  # fmt: skip
        print(context.address.hex(), flush=True)
        peer = context.accept(100.0)
        digests = []
        for number, size in enumerate(spec["sizes"]):
            data = np.zeros(size, np.uint8)
            peer.recv(data, tag=7 + number).wait()
            digests.append(hashlib.sha256(data.tobytes()).hexdigest())
            peer.send(data + np.uint8(1), tag=9 + number).wait()
        stats = context.stats()
        peer.close()
    print(json.dumps({"digests": digests, "stats": stats}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
