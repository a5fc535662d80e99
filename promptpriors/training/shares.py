"""A step in shares: which examples of a batch go to which process, and how gradients add up."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.packing import Encoded, pack
from promptpriors.packing.batches import groups
from promptpriors.prompts import TokenLosses
from promptpriors.training.parallel import Team


def share_out(encoded: Sequence[Encoded], size: int) -> list[list[int]]:
    """Positions of ``encoded`` in ``size`` parts of about equal work, some of them perhaps empty.

    Groups with the same first piece, whose context is computed once, stay together unless one is
    larger than an equal share of the examples. The largest unit is placed first, each where there
    is least (Graham 1969, "Bounds on multiprocessing timing anomalies"), so that two parts differ
    by no more tokens than the largest unit has.
    """
    if size == 1:
        return [list(range(len(encoded)))]
    units = groups(encoded, largest=math.ceil(len(encoded) / size))
    costs = [len(pack([encoded[i] for i in unit]).tokens) for unit in units]
    parts: list[list[int]] = [[] for _ in range(size)]
    loads = [0] * size
    for cost, unit in sorted(zip(costs, units, strict=True), reverse=True):
        least = loads.index(min(loads))
        parts[least] += unit
        loads[least] += cost
    return [sorted(part) for part in parts]


def backward(
    team: Team,
    forward: Callable[[Sequence[Encoded]], TokenLosses],
    examples: Sequence[Encoded],
    trained: Sequence[nn.Parameter],
) -> Callable[[Sequence[int], Tensor | None], tuple[float, int]]:
    """Divide a step's work among a team; what is returned does it.

    Each process gives the sum of nats over its own targets, their number, and the gradient of that
    sum; the gradient of the batch's mean is the quotient of the sums, whoever computed what. The
    penalty is added once, by the main process.

    Args:
        team: who does it.
        forward: the losses of a batch.
        examples: of which batches are made.
        trained: what gets gradients, as the main process has it.

    Returns:
        From the batch's positions in ``examples`` and a penalty, if there is one, to the mean
        before the update and the tokens computed, by all processes together. Gradients of mean plus
        penalty are left in ``trained``.
    """
    sizes = [value.numel() for value in trained]

    def share(batch: Sequence[int]) -> Tensor:
        """Nats, targets, tokens computed, and the gradient of the nats."""
        if not batch:
            return torch.zeros(3 + sum(sizes), dtype=torch.float64)
        for value in trained:
            value.grad = None
        losses = forward([examples[i] for i in batch])
        losses.nats.mean().backward()  # of the mean, whose size does not depend on the batch's
        targets = len(losses.nats)
        nats = float(losses.nats.detach().double().sum())
        head = torch.tensor([nats, targets, losses.computed], dtype=torch.float64)
        slopes = [torch.zeros_like(v) if v.grad is None else v.grad for v in trained]
        return torch.cat([head, *(s.flatten().cpu().double() * targets for s in slopes)])

    asked = team.divided("gradient", share, trained)

    def alone(batch: Sequence[int], penalty: Tensor | None) -> tuple[float, int]:
        losses = forward([examples[i] for i in batch])
        mean = losses.nats.mean()
        whole = mean if penalty is None else mean + penalty.to(mean.device, mean.dtype)
        if not mean.requires_grad:
            raise InputError(
                "the loss does not depend on what is trained, so nothing can be learned; expected "
                "a model whose answers see the prompt (a decoder without cross-attention does not)"
            )
        whole.backward()
        return float(mean.detach()), losses.computed

    def together(batch: Sequence[int], penalty: Tensor | None) -> tuple[float, int]:
        parts = share_out([examples[i] for i in batch], team.size)
        found = asked([[batch[i] for i in part] for part in parts])
        nats, targets, computed = found[:3].tolist()
        for value, slope in zip(trained, found[3:].split(sizes), strict=True):
            value.grad = (slope / targets).view_as(value).to(value)
        if penalty is not None:
            penalty.backward()
        return nats / targets, int(computed)

    return alone if team.size == 1 else together
