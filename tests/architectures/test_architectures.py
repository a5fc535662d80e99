"""Every architecture of the installed transformers is right, or refused with a sentence."""

import pytest

from tests.architectures.building import kinds
from tests.architectures.comparing import outcome


@pytest.mark.architectures
@pytest.mark.parametrize(("kind", "seq2seq"), kinds())
def test_an_architecture_is_right_or_refused(kind, seq2seq):
    found = outcome(kind, seq2seq=seq2seq)
    if found.state == "not built":
        pytest.skip(found.reason)
    assert found.state in {"right", "refused"}, found


USED = {
    "bamba": "padded",
    "deepseek_v32": "alone",
    "diffllama": "packed",
    "gemma3n_text": "packed",
    "gemma4_text": "packed",
    "jamba": "padded",
    "llama4_text, no chunks": "padded",
    "phi3, LongRoPE": "packed",
}
"""Architectures whose special ways went wrong in other programs, and how they are computed."""


@pytest.mark.architectures
@pytest.mark.parametrize("kind", USED)
def test_what_people_use_is_right_and_not_merely_refused(kind):
    found = outcome(kind, seq2seq=False)
    assert (found.state, found.way) == ("right", USED[kind]), found
