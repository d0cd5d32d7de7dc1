"""What block floating point does to a training run: two equal models, the same batches, gradients
added up in float32 and as the switch adds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.p4.aggregation import wire

Floats = npt.NDArray[np.float32]
_FLOAT32 = wire.innet.Type.float32


@dataclass(frozen=True, slots=True)
class Curves:
    """Loss by step, with sums in float32 and with the switch's; accuracy on unseen images."""

    workers: int
    exact: list[float]
    blocks: list[float]
    exact_accuracy: float
    blocks_accuracy: float

    @property
    def difference(self) -> float:
        """The largest relative difference of the losses."""
        pairs = zip(self.exact, self.blocks, strict=True)
        return max(abs(a - b) / abs(a) for a, b in pairs)


def blocks_sum(parts: list[Floats], values: int = wire.VALUES) -> Floats:
    """The sum of all workers' arrays as the switch makes it, by the hosts' own arithmetic."""
    innet, workers = wire.innet, len(parts)
    total = np.empty_like(parts[0])
    for at in range(0, total.size, values):
        rows = [part[at : at + values].tobytes() for part in parts]
        exponent = max(innet.exponent_of(row, _FLOAT32) for row in rows)
        sent = [
            np.frombuffer(innet.to_wire(row, _FLOAT32, exponent, workers), ">i4") for row in rows
        ]
        added = np.sum(sent, axis=0, dtype=np.int64).clip(-(2**31), 2**31 - 1)
        result = innet.from_wire(added.astype(">i4").tobytes(), _FLOAT32, exponent, workers)
        total[at : at + values] = np.frombuffer(result, np.float32)
    return total


def train(workers: int = 8, steps: int = 150, batch: int = 32, seed: int = 1) -> Curves:
    """Trains both models on scikit-learn's digits; a gradient is the mean of the workers'."""
    import torch
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)  # matrices this small are not worth more
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)]
    models = [torch.nn.Sequential(*layers)]
    models.append(torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(),
                                      torch.nn.Linear(128, 10)))  # fmt: skip
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9) for m in models]
    digits = load_digits()
    images = torch.from_numpy(digits.data).float() / 16
    labels = torch.from_numpy(digits.target)
    dealer = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=dealer)
    unseen, seen = order[:297], order[297:]
    losses: list[list[float]] = [[], []]
    for _ in range(steps):
        chosen = seen[torch.randint(len(seen), (workers, batch), generator=dealer)]
        for kind, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            parts, loss_sum = [], 0.0
            for mine in chosen:
                model.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(images[mine]), labels[mine])
                loss.backward()  # type: ignore[no-untyped-call]
                loss_sum += loss.item()
                grads = [p.grad.reshape(-1) for p in model.parameters() if p.grad is not None]
                parts.append((torch.cat(grads) / workers).numpy().copy())
            total = blocks_sum(parts) if kind else np.stack(parts).sum(axis=0)
            at = 0
            for parameter in model.parameters():
                piece = total[at : at + parameter.numel()].reshape(parameter.shape)
                parameter.grad = torch.from_numpy(piece.copy())
                at += parameter.numel()
            optimizer.step()
            losses[kind].append(loss_sum / workers)
    with torch.no_grad():
        right = [(m(images[unseen]).argmax(1) == labels[unseen]).double().mean() for m in models]
    return Curves(workers, losses[0], losses[1], float(right[0]), float(right[1]))
