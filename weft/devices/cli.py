"""`weft devices`: the tables."""

from __future__ import annotations

import json as encoder
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from weft.devices import Gpu, Nic, RdmaDevice, gpus, nics, rdma

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def devices(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """RDMA devices with their ports and GIDs, IP network cards with what they offer to XDP, GPUs,
    and how far each is from each (PIX, PXB, PHB, NODE, SYS, as nvidia-smi has it)."""
    near = gpus()
    adapters, why_not = rdma(near)
    cards = nics(among=near)
    if json:
        listed = {
            "rdma": [asdict(device) for device in adapters],
            "rdma_unusable": why_not,
            "nics": [asdict(card) for card in cards],
            "gpus": [asdict(gpu) for gpu in near],
        }
        typer.echo(encoder.dumps(listed))
        return
    console = Console()
    if not console.is_terminal:  # a file or pipe is as wide as the tables need
        console = Console(width=160)
    _show_rdma(console, adapters, why_not)
    _show_nics(console, cards)
    _show_gpus(console, near)


def _show_rdma(console: Console, adapters: list[RdmaDevice], why_not: str) -> None:
    if why_not:
        console.print(f"RDMA is off: {why_not}")
    if not adapters:
        console.print("No RDMA device; `weft doctor` says how to get one.\n")
        return
    ports = Table("device", "port", "link", "active", "Gbit/s", "MTU", "NUMA", "driver", "GPUs")
    gids = Table("device", "port", "index", "type", "GID", "interface")
    for device in adapters:
        for port in device.ports:
            ports.add_row(
                device.name,
                str(port.number),
                port.link_layer,
                "yes" if port.active else "no",
                f"{port.gbit:g}",
                str(port.mtu),
                _node(device.numa_node),
                device.driver,
                _near(device.gpus),
            )
            for gid in port.gids:
                row = (str(gid["index"]), gid["type"], gid["gid"], gid["interface"])
                gids.add_row(device.name, str(port.number), *row)
    ports.title, gids.title = "RDMA", "GIDs"
    console.print(ports, gids)


def _show_nics(console: Console, cards: list[Nic]) -> None:
    table = Table("device", "state", "Gbit/s", "MTU", "NUMA", "driver", "queues", "XDP", "GPUs")
    table.title = "Network cards"
    for card in cards:
        table.add_row(
            card.name,
            card.state,
            "" if card.gbit is None else f"{card.gbit:g}",
            str(card.mtu),
            _node(card.numa_node),
            card.driver,
            str(card.queues),
            (card.xdp or "not known") + (", jumbo" if card.xdp_jumbo else ""),
            _near(card.gpus),
        )
    console.print(table)


def _show_gpus(console: Console, near: list[Gpu]) -> None:
    if not near:
        console.print("No GPU.")
        return
    table = Table("GPU", "vendor", "NUMA", title="GPUs")
    for gpu in near:
        table.add_row(gpu.pci, gpu.vendor, _node(gpu.numa_node))
    console.print(table)


def _node(number: int | None) -> str:
    return "" if number is None else str(number)


def _near(distances: dict[str, str]) -> str:
    return ", ".join(f"{pci} {how}" for pci, how in distances.items())
