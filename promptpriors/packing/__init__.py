"""Examples become one packed row with its tree, or, where that is not exact, a rectangle."""

from promptpriors.packing.batches import chunks, epochs
from promptpriors.packing.exactness import packs_exactly
from promptpriors.packing.rectangle import Rectangle, pad
from promptpriors.packing.row import Row, pack, visible
from promptpriors.packing.tokens import Encoded, encode

__all__ = [
    "Encoded",
    "Rectangle",
    "Row",
    "chunks",
    "encode",
    "epochs",
    "pack",
    "packs_exactly",
    "pad",
    "visible",
]
