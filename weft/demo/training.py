"""What one rank of the demo does: data-parallel training of two equal models, one per backend.

Both models see the same batches from the same seed and take their steps in turn, in the same
processes: whatever the machine does to one, it does to the other. Only the order of additions
inside an all_reduce may differ, so the loss curves must agree to within rounding.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

BACKENDS = ("gloo", "weft")
HELD_OUT = 297  # of 1797 images
WIDTH = 512  # about 300 000 parameters: 1.2 MB of gradients a step


@dataclass(frozen=True)
class Settings:
    """The same on every rank. `batch` is in images per rank, `timeout` in seconds."""

    ranks: int = 4
    steps: int = 200
    batch: int = 32
    learning_rate: float = 0.05
    seed: int = 1
    timeout: float = 60.0


@dataclass
class Curve:
    """One backend's training, as all ranks together saw it (times: rank 0's)."""

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    ends: list[float] = field(default_factory=list)
    """When each step ended, by time.monotonic."""


class Learner:
    """A model under DDP on one backend, with all that is needed to take steps."""

    def __init__(self, group: dist.ProcessGroup, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        layers = [torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH)]
        model = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10))
        self.group = group
        self.model = DistributedDataParallel(model, process_group=group)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=settings.learning_rate, momentum=0.9
        )
        self.curve = Curve()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        began = time.perf_counter()
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.curve.seconds.append(time.perf_counter() - began)
        self.curve.ends.append(time.monotonic())
        self.curve.losses.append(loss.item())

    def finish(self, images: torch.Tensor, labels: torch.Tensor) -> Curve:
        """Collective: the mean loss of all ranks per step, and the accuracy on unseen images."""
        losses = torch.tensor(self.curve.losses, dtype=torch.float64)
        dist.all_reduce(losses, group=self.group)
        self.curve.losses = (losses / dist.get_world_size(self.group)).tolist()
        with torch.no_grad():
            guesses = self.model.module(images).argmax(dim=1)
        self.curve.accuracy = float((guesses == labels).double().mean())
        return self.curve


class Images:
    """Scikit-learn's digits, dealt out by the seed: every rank and every backend sees the same."""

    def __init__(self, settings: Settings) -> None:
        digits = load_digits()
        self._images = torch.from_numpy(digits.data).float() / 16
        self._labels = torch.from_numpy(digits.target)
        self._settings = settings
        self._dealer = torch.Generator().manual_seed(settings.seed)
        order = torch.randperm(len(self._images), generator=self._dealer)
        self._unseen, self._seen = order[:HELD_OUT], order[HELD_OUT:]

    def batches(self, rank: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What one rank sees, step by step: images and labels."""
        shape = (self._settings.ranks, self._settings.batch)
        for _ in range(self._settings.steps):
            chosen = torch.randint(len(self._seen), shape, generator=self._dealer)
            mine = self._seen[chosen[rank]]
            yield self._images[mine], self._labels[mine]

    @property
    def unseen(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._images[self._unseen], self._labels[self._unseen]


@contextmanager
def groups(rank: int, folder: Path, settings: Settings) -> Iterator[dict[str, dist.ProcessGroup]]:
    """One group per backend, of the same ranks. Collective."""
    import weft.collectives.torch  # noqa: F401  (registers the backend)

    torch.set_num_threads(1)
    dist.init_process_group(
        "weft",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=settings.ranks,
        timeout=timedelta(seconds=settings.timeout),
    )
    try:
        whole = dist.group.WORLD
        beside = dist.new_group(backend="gloo", timeout=timedelta(seconds=settings.timeout))
        assert whole is not None and beside is not None
        yield {"gloo": beside, "weft": whole}
    finally:
        dist.destroy_process_group()


def train(
    rank: int, folder: Path, settings: Settings, tell: Callable[[int], None]
) -> dict[str, Curve]:
    """Run one rank to its end; `tell(step)` is called after each step. Collective.

    Raises torch.distributed.DistBackendError, within the time-out, if a peer fails.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all ranks are on this host
    with groups(rank, folder, settings) as made:
        learners = {name: Learner(made[name], settings) for name in BACKENDS}
        images = Images(settings)
        for step, batch in enumerate(images.batches(rank)):
            # Each goes first every other time, so that neither always finds the caches warm.
            for name in BACKENDS[:: 1 if step % 2 else -1]:
                learners[name].step(*batch)
            tell(step + 1)
        return {name: learners[name].finish(*images.unseen) for name in BACKENDS}
