"""What a shard holds: activations and the structure of their texts, checked as they are kept."""

from collections.abc import Sequence

import torch
from torch import Tensor

from promptpriors.activations.chains import chain_sums
from promptpriors.activations.reading import Reader, Reading
from promptpriors.activations.store import Plan
from promptpriors.activations.texts import SPECIAL, Text
from promptpriors.errors import InputError
from promptpriors.types import Site

DTYPES = {"float16": torch.float16, "float32": torch.float32}


def tensors_of(
    reader: Reader, shard: Sequence[Sequence[Text]], plan: Plan, first: int
) -> dict[str, Tensor]:
    """The contents of a shard of documents, the first of which has the number ``first``.

    Raises:
        InputError: for activations that are not finite, naming site, example and token.
    """
    parts: dict[str, list[Tensor]] = {}
    rows = texts = 0
    for number, reading in enumerate(reader.read(shard)):
        found = {
            f"site/{site}": _kept(value, site, reading, shard[number], plan)
            for site, value in reading.states.items()
        }
        size = len(next(iter(found.values())))
        found |= _structure(reading, plan, rows, texts)
        found["document"] = torch.full((size,), first + number)
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
        rows += len(reading.tokens)
        texts += len(reading.last)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    # whole numbers in four bytes
    return {k: v if v.is_floating_point() else v.to(torch.int32) for k, v in joined.items()}


def _structure(reading: Reading, plan: Plan, rows: int, texts: int) -> dict[str, Tensor]:
    """What a document's rows are, numbered within the shard."""
    if plan.what == "mean":
        return {"count": _counts(reading)}
    before = torch.where(reading.before < 0, reading.before, reading.before + rows)
    return {
        "token": reading.tokens,
        "position": reading.positions,
        "role": reading.roles,
        "example": reading.example + texts,
        "before": before,
        "last": reading.last + rows,
    }


def _counts(reading: Reading) -> Tensor:
    ones = _ordinary(reading).float()[:, None]
    return chain_sums(ones, reading.before, reading.positions)[reading.last, 0].long()


def _ordinary(reading: Reading) -> Tensor:
    """Tokens that count by default: neither the first, an attention sink, nor special ones."""
    return (reading.positions > 0) & (reading.roles != SPECIAL)


def _kept(
    value: Tensor, site: Site, reading: Reading, document: Sequence[Text], plan: Plan
) -> Tensor:
    """Activations as they are kept; refused if they are not finite."""
    states = value.to("cpu", torch.float32)
    kept = states.to(DTYPES[plan.dtype])
    bad = ~torch.isfinite(kept).all(dim=1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        where = f"example {document[int(reading.example[row])].id!r}, token "
        where += f"{int(reading.positions[row])}"
        if bool(torch.isfinite(states[row]).all()):
            raise InputError(
                f"the activations at {site} are too large for {plan.dtype} ({where}); "
                "set capture.dtype to 'float32'"
            )
        raise InputError(
            f"the activations at {site} are not finite ({where}); leave the example out, or try "
            "device.dtype = 'float32'"
        )
    if plan.what == "tokens":
        return kept
    counted = states * _ordinary(reading)[:, None]
    sums = chain_sums(counted, reading.before, reading.positions)[reading.last]
    return (sums / _counts(reading).clamp_min(1)[:, None]).to(DTYPES[plan.dtype])
