"""The trunk: what the blocks below a deep prompt make of each example, computed once.

No prompt stands below the first site, so what enters it is a constant of the frozen model and the
text: the same in every epoch and for every prior, rate and seed. It is kept on disk and read back
memory-mapped. Examples are computed in units that depend on the set of examples alone, never on the
batches of a run, so that the same numbers come back whichever run was first.
"""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import note
from promptpriors.files import write_bytes
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, Entry, Row, chain, pack, packs_exactly, states_of, units
from promptpriors.prompts.insertion import insert
from promptpriors.prompts.modes import first_block
from promptpriors.prompts.prompt import Prompt

UNIT_TOKENS = 256
"""Tokens of a unit: examples that share a piece, or several of them, until there are so many."""


class Trunk:
    """Inputs of the first block that a prompt enters, for each token of a set of examples.

    Args:
        backbone: the frozen model.
        prompt: whose first site it is; its values do not matter.
        encoded: the examples.
        folder: where it is kept; a folder of ours inside it is made when something is written.

    Attributes:
        block: the first block that is computed.
    """

    def __init__(
        self, backbone: Backbone, prompt: Prompt, encoded: Sequence[Encoded], folder: Path
    ) -> None:
        self.block = first_block(prompt.sites)
        self._backbone = backbone
        with torch.no_grad():
            inserted = insert(backbone, prompt)
        self._shift = inserted.shift
        self._prefixes = {i: p for i, p in inserted.prefixes.items() if i < self.block}
        self._folder = folder / _key(backbone, prompt, self.block, self._shift)
        self._units = [[encoded[i] for i in unit] for unit in units(encoded, UNIT_TOKENS)]
        self._where = {e: (u, p) for u, unit in enumerate(self._units) for p, e in enumerate(unit)}
        self._keeps = True

    def entry(self, encoded: Sequence[Encoded], row: Row) -> Entry | None:
        """Inputs of the block for each token of ``row``, a batch of the examples.

        None for a batch with an example that is none of them.
        """
        places = [place for example in encoded if (place := self._where.get(example))]
        if len(places) < len(encoded):
            return None
        rows = {unit: pack(self._units[unit]) for unit in {unit for unit, _ in places}}
        read = {unit: self._read(packed) for unit, packed in rows.items()}
        hidden = next(iter(read.values())).new_empty(len(row.tokens), self._backbone.dim)
        for number, (unit, inside) in enumerate(places):
            hidden[chain(row, number)] = read[unit][chain(rows[unit], inside)]
        return Entry(self.block, hidden)

    def _read(self, row: Row) -> Float[Tensor, "row dim"]:
        """One unit: from its file, or computed and, if there is room, written."""
        path = self._folder / f"{_digest(row)}.safetensors"
        with contextlib.suppress(OSError, safetensors.SafetensorError):
            with safetensors.safe_open(path, framework="pt") as file:  # pyright: ignore[reportPrivateImportUsage]
                found = file.get_tensor("hidden")
            if found.shape == (len(row.tokens), self._backbone.dim):
                return found
        site, known = f"block.{self.block}", {"prefixes": self._prefixes, "shift": self._shift}
        with torch.no_grad():
            computed = states_of(self._backbone, row, [site], **known)[site]
        if self._keeps:
            self._write(path, computed)
        return computed

    def _write(self, path: Path, hidden: Tensor) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = safetensors.torch.save({"hidden": hidden.cpu().contiguous()})
            write_bytes(path, content, durable=False)
        except OSError as error:
            self._keeps = False
            note(
                f"the trunk cache {path.parent} can't be written ({error.strerror}), so the lower "
                "blocks are computed in every epoch"
            )


def trunk_of(
    backbone: Backbone, prompt: Prompt, encoded: Sequence[Encoded], folder: Path | None
) -> Trunk | None:
    """The trunk of a prompt, or None where there is none: at the input, or without packed rows."""
    if folder is None or not prompt.length or not first_block(prompt.sites):
        return None
    longest = prompt.before + max(example.read for example in encoded)
    if not packs_exactly(backbone, longest=longest):
        return None
    return Trunk(backbone, prompt, encoded, folder)


def _key(backbone: Backbone, prompt: Prompt, block: int, shift: int) -> str:
    """What the numbers depend on besides token ids and positions, so that none is ever stale."""
    digest = hashlib.sha256()
    config = backbone.model.config.to_dict()
    config.pop("_name_or_path", None)
    about = {
        "config": config,
        "block": block,
        "shift": shift,
        "bos": prompt.bos,
        "dtype": str(backbone.dtype),
        "kernel": backbone.kernel,
        "device": backbone.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    for module in (backbone.model.get_input_embeddings(), *backbone.blocks[:block]):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            flat = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(flat.numpy())
    return digest.hexdigest()[:32]


def _digest(row: Row) -> str:
    digest = hashlib.sha256()
    for part in (row.tokens, row.positions, row.segment, row.parents):
        digest.update(part.numpy().tobytes() + b"|")
    return digest.hexdigest()[:32]
