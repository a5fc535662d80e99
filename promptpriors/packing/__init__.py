"""Examples become one packed row with its tree, or, where that is not exact, a rectangle."""

from promptpriors.packing.alone import Greedy, plain_logits
from promptpriors.packing.attention import entered
from promptpriors.packing.batches import chunks, epochs, units
from promptpriors.packing.decoding import Decoder
from promptpriors.packing.exactness import (
    Way,
    caches_exactly,
    encodes_exactly,
    packs_exactly,
    way_of,
)
from promptpriors.packing.forward import Entry, call, embedded, logits_of, prefixes_of, states_of
from promptpriors.packing.kernels import KERNELS, Prefix
from promptpriors.packing.rectangle import pad, padded
from promptpriors.packing.row import Row, chain, pack, visible
from promptpriors.packing.tokens import Encoded, encode, tokenise
from promptpriors.packing.tree import Tree, tree_of

__all__ = [
    "KERNELS",
    "Decoder",
    "Encoded",
    "Entry",
    "Greedy",
    "Prefix",
    "Row",
    "Tree",
    "Way",
    "caches_exactly",
    "call",
    "chain",
    "chunks",
    "embedded",
    "encode",
    "encodes_exactly",
    "entered",
    "epochs",
    "logits_of",
    "pack",
    "packs_exactly",
    "pad",
    "padded",
    "plain_logits",
    "prefixes_of",
    "states_of",
    "tokenise",
    "tree_of",
    "units",
    "visible",
    "way_of",
]
