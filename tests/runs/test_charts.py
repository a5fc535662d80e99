"""Charts are read as they were written, and thinned without touching the prompts."""

import pytest
import torch

import promptpriors as pp
from promptpriors.rng import generator
from promptpriors.runs import Chart, list_charts, read_chart, thinned, write_chart


def chart(n=30):
    return Chart(
        model="tiny 1",
        site="embed",
        title="tokens at embed",
        domains=["C4", "SQuAD"],
        domain=torch.arange(n) % 2,
        document=torch.arange(n) // 3,
        labels=[f"token {i}" for i in range(n)],
        layouts={"pca": torch.randn(n, 2), "tsne": torch.randn(n, 2)},
        explained=torch.tensor([0.3, 0.2]),
        prompts={"0123": {"pca": torch.randn(3, 4, 2), "tsne": torch.randn(3, 4, 2)}},
    )


def same(one, other):
    assert (one.model, one.site, one.title, one.domains, one.labels) == (
        other.model, other.site, other.title, other.domains, other.labels,
    )  # fmt: skip
    for name, points in one.layouts.items():
        torch.testing.assert_close(points, other.layouts[name])
    for name, way in one.prompts["0123"].items():
        torch.testing.assert_close(way, other.prompts["0123"][name])


def test_a_chart_is_read_as_it_was_written(tmp_path):
    written = chart()
    write_chart(tmp_path / "charts" / "a.safetensors", written)
    [path] = list_charts(tmp_path)
    same(written, read_chart(path))


def test_a_thinned_chart_keeps_rows_together_and_every_prompt():
    whole = chart()
    few = thinned(whole, 10, generator(0))
    assert len(few.labels) == len(few.domain) == len(few.layouts["tsne"]) == 10
    for i, label in enumerate(few.labels):
        row = whole.labels.index(label)
        assert few.domain[i] == whole.domain[row]
        assert torch.equal(few.layouts["pca"][i], whole.layouts["pca"][row])
    assert few.prompts is whole.prompts


def test_a_chart_whose_parts_differ_in_length_is_refused(tmp_path):
    broken = chart()._replace(labels=["one"])
    write_chart(tmp_path / "charts" / "a.safetensors", broken)
    with pytest.raises(pp.InputError, match="is not a chart"):
        read_chart(tmp_path / "charts" / "a.safetensors")
