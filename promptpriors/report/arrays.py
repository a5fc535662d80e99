"""Arrays and JSON embedded in the page for its scripts."""

import base64
from typing import Any

import torch
from jaxtyping import Float
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from torch import Tensor

from promptpriors.files import finite

LEVELS = 65_535
"""Steps of a quantised coordinate: finer than a pixel until the map is enlarged fifty times."""


def as_base64(values: Tensor, dtype: torch.dtype) -> str:
    """Little-endian bytes of a tensor as base64.

    >>> as_base64(torch.tensor([1, 2]), torch.int16)
    'AQACAA=='
    """
    plain = values.detach().cpu().to(dtype).contiguous().numpy()
    return base64.b64encode(plain.astype(plain.dtype.newbyteorder("<")).tobytes()).decode()


def quantised(points: Float[Tensor, "n 2"]) -> dict[str, Any]:
    """Coordinates as 16-bit levels between ``low`` and ``high``.

    x ≈ low + (high − low)(level + 32,768) / 65,535, wrong by at most half a level.
    """
    exact = points.to(torch.float64)
    low, high = exact.amin(0), exact.amax(0)
    spread = torch.where(high > low, high - low, 1.0)
    levels = ((exact - low) / spread * LEVELS).round() - (LEVELS + 1) // 2
    return {"data": as_base64(levels, torch.int16), "low": low.tolist(), "high": high.tolist()}


def safe_json(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    return htmlsafe_json_dumps(finite(value), allow_nan=False, separators=(",", ":"))
