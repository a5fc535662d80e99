"""Table of objectives that training minimises, the paper's misaligned one among them."""

from collections.abc import Callable, Sequence

import torch

from promptpriors.errors import InputError, unknown
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, padded
from promptpriors.prompts.insertion import INPUT, behind, root_rows
from promptpriors.prompts.losses import token_losses
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import TokenLosses, read
from promptpriors.prompts.trunk import Trunk

LABELS = 128
"""Labels of an example in the misaligned objective; Hugging Face's shift drops the first."""
LINES = 4
"""Examples a call when the objective is measured on a split: every position has logits."""

Objective = Callable[..., TokenLosses]
"""From backbone, prompt and a batch, with the keywords of ``token_losses``; minimised is the mean
of ``nats``."""


def misaligned(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    *,
    trunk: Trunk | None = None,  # noqa: ARG001 a soft prompt has none
    checkpointing: bool = False,  # noqa: ARG001 as for every padded batch
) -> TokenLosses:
    """The loss as the published code of arXiv 2412.18582 computes it; a control, no aim.

    The sequence is prompt and source, without the answer, padded on the right by the end token. The
    answer's tokens, filled up with end tokens to 128, are the labels of its positions 0 … 127, and
    logits at position i are held against label i + 1: the prompt's own positions and the source's
    first ones are to say the answer before the question was read, and most targets are end tokens.
    None of the 127 is left out of the mean. Where a tokenizer puts a first token before every text
    (Llama's does), that is label 0, so the answer's first token is a target; else it is none.

    What stands behind position 126 does not matter to a causal model, so it is cut off.

    Args:
        backbone: the frozen model.
        prompt: of mode ``soft``; None or mode ``none`` for the plain model.
        encoded: the batch, each example with a source.
        trunk: not used.
        checkpointing: not used.

    Returns:
        127 losses an example, in nats.

    Raises:
        InputError: for a prompt whose vectors are no rows of the sequence, an encoder–decoder, or
            an example without a source.
    """
    check_objective("misaligned", backbone, prompt, encoded)
    root, reads, end = root_rows(backbone, prompt), LABELS - 1, backbone.end
    sources = [sum(example.pieces, ()) for example in encoded]
    given = behind(backbone, root, *padded(sources, fill=end, least=reads - len(root)))
    if not backbone.stretches:
        given = {name: value[:, :reads] for name, value in given.items()}
    logits = backbone.model(**given, use_cache=False).logits[:, :reads]
    alone = backbone.tokenizer("")["input_ids"][:1]
    first = alone if alone == [backbone.tokenizer.bos_token_id] else []
    labels = [[*first, *example.target][:LABELS] for example in encoded]
    targets = padded(labels, fill=end, least=LABELS)[0][:, 1:].flatten()
    every = torch.arange(len(targets))
    computed = given["attention_mask"].numel()
    return read(logits.flatten(0, 1), every, targets, every // reads, computed=computed)


OBJECTIVES: dict[str, Objective] = {"answer": token_losses, "misaligned": misaligned}
"""Name to what is minimised: ``answer`` are the answer's tokens alone, each predicted from all
that stands before it."""


def objective_of(name: str) -> Objective:
    """The row of an objective.

    Raises:
        InputError: naming those there are.
    """
    if name not in OBJECTIVES:
        raise unknown("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def check_objective(
    name: str, backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> None:
    """Refuse what an objective can't be computed of.

    Raises:
        InputError: as ``misaligned``; for an unknown name.
    """
    if objective_of(name) is not misaligned:
        return
    check_mode_of(name, prompt.mode if prompt else "none")
    if backbone.seq2seq:
        raise InputError(
            f"objective {name!r} puts labels on the positions of prompt and source, and "
            f"{backbone.name!r} ({backbone.model.config.model_type}) is an encoder–decoder, which "
            "answers in a sequence of its own\nTake a decoder-only model, or objective 'answer'"
        )
    for example in encoded:
        if not example.pieces:
            raise InputError(
                f"objective {name!r} needs a source before the answer, and example {example.id!r} "
                "has none\nTake a task with questions, or objective 'answer'"
            )


def check_mode_of(name: str, mode: str) -> None:
    """Refuse a mode whose vectors have no positions in the sequence that carries the labels.

    Raises:
        InputError: as said; for an unknown name.
    """
    if objective_of(name) is misaligned and mode not in INPUT:
        raise InputError(
            f"objective {name!r} is computed from padded rows at the input, where mode {mode!r} has"
            f" none; expected one of {', '.join(INPUT)}\nTake mode 'soft', or objective 'answer'"
        )


@torch.no_grad()
def mean_objective(
    name: str, backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> float:
    """An objective's mean over a split, every target counted once, in nats.

    Raises:
        InputError: as ``check_objective``.
    """
    compute, nats, targets = objective_of(name), 0.0, 0
    for first in range(0, len(encoded), LINES):
        found = compute(backbone, prompt, encoded[first : first + LINES]).nats
        nats += float(found.double().sum())
        targets += len(found)
    return nats / targets
