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
