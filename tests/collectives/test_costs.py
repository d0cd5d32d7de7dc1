"""What edges and memory cost is measured once on a host, kept, and told to all ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks
from typer.testing import CliRunner

from weft.cli import app
from weft.collectives import Communicator
from weft.collectives.schedule import CostModel
from weft.transport.errors import InvalidArgument

TITLE = "weft costs 1"


def predictions(group: Communicator) -> dict[str, Any]:
    answer = group.explain("all_reduce", 1 << 20)
    answer["sum"] = float(group.all_reduce(np.ones(3, "float32"))[0])
    return answer


def read(path: Path) -> dict[str, list[float]]:
    title, *lines = path.read_text().splitlines()
    assert title == TITLE
    return {words[0]: [float(word) for word in words[1:]] for words in map(str.split, lines)}


@pytest.mark.parametrize("datapath", ["shm", "udp"])
def test_measured_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, datapath: str
) -> None:
    path = tmp_path / "folder" / "costs"
    monkeypatch.setenv("WEFT_COSTS", str(path))
    first = ranks.run(3, predictions, context={"datapaths": [datapath]})
    assert first[1] == first[0] == first[2] and first[0]["sum"] == 3.0
    costs = read(path)
    assert set(costs) == {"copy", "reduce", datapath}
    latency, per_byte = costs[datapath]
    assert 0 < latency < 1 and 0 < per_byte < 1e-3
    assert 0 < costs["copy"][0] < 1e-6 and 0 < costs["reduce"][0] < 1e-6

    text = path.read_text()
    again = ranks.run(3, predictions, context={"datapaths": [datapath]})
    assert again == first  # to the last digit: nothing was measured again
    assert path.read_text() == text


def test_the_file_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dear messages the fewest win, with dear bytes the fewest of those."""
    chosen = {}
    for name, edge in {"messages": "0.01 1e-12", "bytes": "1e-9 1e-6"}.items():
        path = tmp_path / name
        path.write_text(f"{TITLE}\ncopy 1e-12\nreduce 1e-12\nshm {edge}\n")
        monkeypatch.setenv("WEFT_COSTS", str(path))
        outcome = ranks.run(4, predictions, context={"datapaths": ["shm"]})[2]
        by_name = {each["algorithm"]: each for each in outcome["candidates"]}
        chosen[name] = by_name[outcome["chosen"]]
        model, source = CostModel.of_this_host()
        assert str(path) in source and model.local_latency == float(edge.split()[0])
    assert chosen["messages"]["messages"] < chosen["bytes"]["messages"]
    assert chosen["messages"]["sent_bytes"] > chosen["bytes"]["sent_bytes"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("something else\n", ":1: the first line is not"),
        (f"{TITLE}\nshm 1e-6\n", ':2: "shm 1e-6" is none of'),
        (f"{TITLE}\ncopy 1e-9\nudp fast 1e-9\n", ':3: "fast" is not a number'),
        (f"{TITLE}\nreduce -1\n", ':2: "-1" is not a number'),
        (f"{TITLE}\nreduce nan\n", ':2: "nan" is not a number'),
    ],
    ids=["title", "figures", "word", "negative", "nan"],
)
def test_damaged_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    path = tmp_path / "costs"
    path.write_text(text)
    monkeypatch.setenv("WEFT_COSTS", str(path))
    errors = [each.error for each in ranks.Job(2, predictions).outcomes()]
    assert isinstance(errors[0], InvalidArgument) and f"{path}{complaint}" in str(errors[0])
    assert complaint in str(errors[1])  # told by rank 0
    assert "delete the file" in str(errors[0])
    result = CliRunner().invoke(app, ["explain", "all_reduce", "1MB"])
    assert result.exit_code == 2 and complaint in result.output


def test_a_folder_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WEFT_COSTS", str(tmp_path / "file" / "costs"))
    assert [each["sum"] for each in ranks.run(2, predictions)] == [2.0, 2.0]
