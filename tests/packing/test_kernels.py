"""Three ways to compute attention over a tree give what softmax over the visible keys gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from promptpriors.packing import Encoded, pack, tree_of
from promptpriors.packing import tree as trees
from promptpriors.packing.kernels import KERNELS, Scores
from promptpriors.rng import generator
from tests.packing.test_packing import examples

WIDTH = 4


def plain(q, k, v, prefix, tree, scores):
    """Query by query, in float64, from the definition."""
    copies = len(q) // len(k)
    pk, pv = prefix
    k = torch.cat([pk, k], dim=1).repeat_interleave(copies, dim=0)
    v = torch.cat([pv, v], dim=1).repeat_interleave(copies, dim=0)
    p = pk.shape[1]
    places = torch.cat([torch.arange(p), tree.keys])
    out = []
    for i in range(q.shape[1]):
        seen = torch.cat([torch.ones(p, dtype=torch.bool), tree.seen[i]])
        if scores.window is not None:
            seen &= tree.queries[i] - places < scores.window
        score = torch.einsum("hd,hkd->hk", q[:, i], k[:, seen]) * scores.scale
        if scores.softcap is not None:
            score = scores.softcap * torch.tanh(score / scores.softcap)
        out.append(torch.einsum("hk,hkd->hd", score.softmax(-1), v[:, seen]))
    return torch.stack(out)


def inputs(rows, keys, prefix, kv, copies, dtype=torch.float64):
    stream = generator(0, "attention", rows, keys, prefix)
    shapes = [(kv * copies, rows), (kv, keys), (kv, keys), (kv, prefix), (kv, prefix)]
    return [
        torch.randn(*shape, WIDTH, generator=stream, dtype=dtype, requires_grad=True)
        for shape in shapes
    ]


def gradients(kernel, tensors, tree, scores):
    q, k, v, pk, pv = tensors
    out = kernel(q, k, v, (pk, pv), tree, scores)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return out.detach(), torch.autograd.grad((out * weight).sum(), tensors)


@pytest.mark.parametrize(("kernel", "long"), [("blocks", 256), ("blocks", 2), ("dense", 256)])
@settings(max_examples=25)
@given(examples, st.integers(0, 3), st.sampled_from([1, 3]), st.sampled_from([None, 2, 5, 99]))
def test_values_and_gradients_are_those_of_the_definition(
    kernel, long, encoded, prefix, copies, window
):
    """Long segments go to the fused kernel, which the second case makes of two tokens on."""
    row = pack(encoded)
    tree = tree_of(row, shift=prefix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "LONG", long)
        tree.parts(fused=True)
    tensors = inputs(len(row.tokens), len(row.tokens), prefix, 2, copies)
    scores = Scores(0.7, window=window)
    found = gradients(KERNELS[kernel], tensors, tree, scores)
    torch.testing.assert_close(found, gradients(plain, tensors, tree, scores))


def row_of(lengths):
    """One shared piece, and pieces of these lengths below it."""
    shared = tuple(range(lengths[0]))
    return pack([Encoded(str(i), (shared, (i,) * n), (9,)) for i, n in enumerate(lengths[1:])])


@pytest.mark.parametrize("kernel", ["blocks", "dense"])
def test_soft_caps_are_applied_and_have_their_gradient(kernel):
    row = row_of([5, 3, 4])
    tree = tree_of(row, shift=2)
    tensors = inputs(12, 12, 2, 2, 2)
    scores = Scores(0.7, window=6, softcap=0.5)
    found = gradients(KERNELS[kernel], tensors, tree, scores)
    torch.testing.assert_close(found, gradients(plain, tensors, tree, scores))


def test_only_some_rows_may_ask():
    row = row_of([7, 3, 40, 5])
    tree = tree_of(row, shift=2).asked_by(row.read)
    tensors = inputs(len(row.read), len(row.tokens), 2, 2, 3)
    found = gradients(KERNELS["blocks"], tensors, tree, Scores(0.5))
    torch.testing.assert_close(found, gradients(plain, tensors, tree, Scores(0.5)))


@pytest.mark.slow
@pytest.mark.parametrize(("window", "softcap"), [(None, None), (6, None), (None, 0.5)])
def test_flex_attentions_forward_equals_the_dense_mask(window, softcap):
    row = row_of([50, 30, 45, 5])
    tree = tree_of(row, shift=3)
    q, k, v, pk, pv = (x.detach().float() for x in inputs(130, 130, 3, 2, 2))
    scores = Scores(0.5, window=window, softcap=softcap)
    with torch.no_grad():
        found, expected = (
            KERNELS[name](q, k, v, (pk, pv), tree, scores) for name in ("flex", "dense")
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("long", [3, 256])
def test_where_text_needs_no_gradient_the_prefix_has_its_own_all_the_same(monkeypatch, long):
    monkeypatch.setattr(trees, "LONG", long)
    row = row_of([5, 3, 4])
    tree = tree_of(row, shift=2)
    tensors = inputs(12, 12, 2, 2, 2)
    whole = gradients(KERNELS["blocks"], tensors, tree, Scores(1.0))[1][3:]
    q, k, v = (x.detach() for x in tensors[:3])
    out = KERNELS["blocks"](q, k, v, tuple(tensors[3:]), tree, Scores(1.0))
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    torch.testing.assert_close(torch.autograd.grad((out * weight).sum(), tensors[3:]), whole)


@given(examples, st.integers(2, 4))
def test_blocks_and_long_segments_are_a_partition(encoded, long):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "LONG", long)
        blocks, runs = tree_of(pack(encoded), shift=0).parts(fused=True)
    bounds = sorted((part.start, part.stop) for part in (*blocks, *runs))
    assert [0, *(stop for _, stop in bounds)] == [*(start for start, _ in bounds), bounds[-1][1]]
    assert all(run.stop - run.start >= long for run in runs)


@given(examples)
def test_blocks_are_a_partition_whose_keys_are_all_that_is_seen(encoded):
    tree = tree_of(pack(encoded), shift=0)
    starts = [0, *(block.stop for block in tree.blocks)]
    assert [block.start for block in tree.blocks] == starts[:-1]
    assert starts[-1] == len(tree.seen)
    for block in tree.blocks:
        union = tree.seen[block.start : block.stop].any(dim=0)
        assert torch.equal(block.keys, union.nonzero()[:, 0])


def test_blocks_compute_little_more_than_is_needed():
    lengths = [200, *([20] * 6)]
    row = pack(
        [
            Encoded(f"{c}.{i}", ((c,) * lengths[0], (i,) * n), (9, 9, 9))
            for c in range(6)
            for i, n in enumerate(lengths[1:])
        ]
    )
    tree = tree_of(row, shift=20)
    computed = sum((b.stop - b.start) * (len(b.keys) + 20) for b in tree.blocks)
    needed = int(tree.seen.sum()) + 20 * len(row.tokens)
    square = len(row.tokens) * (len(row.tokens) + 20)
    assert computed < 1.5 * needed < square / 4
    assert len(tree.blocks) < 40


def test_a_long_text_is_cut_so_that_its_start_does_not_meet_its_end(monkeypatch):
    monkeypatch.setattr(trees, "OVERHEAD", 0)
    tree = tree_of(pack([Encoded("long", ((1,) * 512,), (9,))]), shift=0)
    assert [len(block.keys) for block in tree.blocks] == [128, 256, 384, 512]
