"""An independent peer through pyverbs speaks Weft's wire format to Weft."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

from machine_ranks import PROGRAMS

from weft.emulation.lab import Lab

SMALL, LARGE = 1000, (1 << 20) + 123
SUPPORT = Path(__file__).parents[1] / "support"
DEBIAN = "/usr/lib/python3/dist-packages"


def test_a_peer_that_is_not_weft_sends_and_receives(lab: Lab, seed: int) -> None:
    order = {"secret": "interop", "sizes": [SMALL, LARGE], "transport": {"paths": 4}}
    weft = lab["h0"].popen(
        [sys.executable, str(PROGRAMS / "weft_peer.py"), json.dumps(order)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert weft.stdout is not None
        address = weft.stdout.readline().strip()
        assert address, weft.communicate()[1]
        call = {"address": address, "secret": "interop", "lanes": 4, "seed": seed}
        # Debian's Python, for whose interpreter pyverbs was built.
        done = lab["h2"].run(
            ["/usr/bin/python3", str(PROGRAMS / "pyverbs_peer.py"), json.dumps(call)],
            env={"PYTHONPATH": f"{SUPPORT}:{DEBIAN}"}, timeout=280,
        )  # fmt: skip
        out, err = weft.communicate(timeout=60)
        assert weft.returncode == 0, err
    finally:
        weft.kill()
    theirs, ours = json.loads(done.stdout), json.loads(out)
    chance = random.Random(seed + 1)
    sent = [chance.randbytes(size) for size in (SMALL, LARGE)]
    back = [bytes((byte + 1) & 255 for byte in data) for data in sent]
    assert ours["digests"] == [hashlib.sha256(data).hexdigest() for data in sent]
    assert theirs["9"]["digest"] == hashlib.sha256(back[0]).hexdigest()
    assert theirs["10"]["digest"] == hashlib.sha256(back[1]).hexdigest()
    assert theirs["10"]["written"] > 20  # by the device, into place
