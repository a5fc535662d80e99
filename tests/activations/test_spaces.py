"""Stores read back as spaces: subsets, unions, and domains of equal lengths."""

import json

import pytest
import torch

import promptpriors as pp
from promptpriors.activations import capture, join, load_space, matched_spaces
from promptpriors.activations import recording as module
from promptpriors.activations.chains import chain_rows, chain_sums
from tests.activations.test_capture import plan


def texts(lengths, word):
    return [
        pp.Example(f"{word}{i}", (), ((word * 50)[:length],), (word * 50)[:length], ends=False)
        for i, length in enumerate(lengths)
    ]


@pytest.fixture
def two(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 16 * 1024)
    for name, lengths in (("short", range(3, 13)), ("long", range(10, 40))):
        examples = texts(lengths, name)
        capture(tiny, examples, plan(tiny, examples), tmp_path / name)
    return [tmp_path / "short", tmp_path / "long"]


def test_matched_spaces_have_texts_of_the_same_lengths_and_positions(two):
    short, long = matched_spaces(two, "final")
    for space in (short, long):
        assert int(space.positions.min()) == 1
    sizes = [torch.bincount(space.groups).sort().values for space in (short, long)]
    assert torch.equal(*sizes)
    assert torch.equal(*(space.positions.sort().values for space in (short, long)))
    assert sizes[0].tolist() == list(range(2, 12))  # the short domain's own, first tokens left out


@pytest.mark.parametrize(
    "change",
    [
        {"sites": 7},
        {"sites": [1]},
        {"sites": []},
        {"what": "all"},
        {"complete": "yes"},
        {"task": "c4"},
        {"key": None},
        {"format": "1"},
        {"format": []},
    ],
)
def test_a_damaged_manifest_is_named(two, change):
    path = two[0] / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(pp.InputError, match=r"manifest.json (is not the manifest|has format)"):
        load_space(two[0], "final")


def test_matched_points_are_points_of_their_store(two):
    for store, space in zip(two, matched_spaces(two, "final"), strict=True):
        whole = {tuple(point) for point in load_space(store, "final").points.tolist()}
        assert {tuple(point) for point in space.points.tolist()} <= whole


def test_a_draw_of_points_is_a_seeded_subset_in_order(two):
    whole = load_space(two[1], "final")
    some, again, other = (load_space(two[1], "final", points=50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(some.points, again.points)
    assert not torch.equal(some.points, other.points)
    assert len(some.points) == 50
    key = whole.groups * 1000 + whole.positions
    chosen = some.groups * 1000 + some.positions
    assert torch.isin(chosen, key).all()
    assert (chosen.diff() > 0).all()


def test_a_union_keeps_its_groups_apart(two):
    spaces = [load_space(folder, "final") for folder in two]
    both = join(spaces)
    assert len(both.points) == sum(len(space.points) for space in spaces)
    assert len(both.groups.unique()) == sum(len(space.groups.unique()) for space in spaces)
    assert both.site == "final"
    with pytest.raises(pp.InputError, match="different widths can't be joined"):
        join([spaces[0], pp.Space("other", torch.zeros(3, 5))])


def test_sums_along_a_tree_are_those_of_each_path():
    before = torch.tensor([-1, 0, 1, 1, 3])
    positions = torch.tensor([0, 1, 2, 2, 3])
    values = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]])
    sums = chain_sums(values, before, positions)
    assert sums[:, 0].tolist() == [1, 11, 111, 1011, 11011]
    assert chain_rows(before.tolist(), 4, 3) == [0, 1, 3]
