"""One damaged value costs one run: the others stay, and the file and its field are named."""

import gzip
import json
import shutil
import warnings
from contextlib import suppress
from itertools import islice

import pytest
import torch

from promptpriors.compare import compare
from promptpriors.errors import InputError, Note
from promptpriors.files import read_json, read_tensors, write_json, write_tensors
from promptpriors.report.page import build
from promptpriors.running.workspace import Workspace
from promptpriors.runs import list_runs, read_run
from promptpriors.runs.pack import pack_runs
from tests.report.sample import build_runs
from tests.report.studying import build_study
from tests.runs.damage import damages

FILES = ("config.toml", "result.json", "metrics.jsonl", "prompt.safetensors")
TARGET = f"{0:016x}"
GOOD = [f"{i:016x}" for i in (1, 2, 3, 11)]


def sampled(path, every):
    return islice(damages(path), 0, None, every)


@pytest.fixture(autouse=True)
def _without_plotly(monkeypatch):
    """The library in the page is four megabytes that say nothing here."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")


def page_of(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        return build(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_page_of_many_damaged_runs_holds_every_good_one(tmp_path, name):
    folder = build_runs(tmp_path / "runs")
    for number, damage in enumerate(sampled(folder / TARGET / name, 9)):
        copy = folder / f"{100 + number:016x}"
        shutil.copytree(folder / TARGET, copy)
        damage.apply(copy / name)
    page = page_of(folder)
    assert all(run in page for run in GOOD)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "maps/smollm2.safetensors"])
def test_no_damage_to_a_file_ends_report_or_list(tmp_path, name):
    folder = build_runs(tmp_path / "runs")
    path = folder / name if "/" in name else folder / TARGET / name
    whole = path.read_bytes()
    for damage in sampled(path, 8):
        damage.apply(path)
        page = page_of(folder)
        assert all(run in page for run in GOOD), damage.name
        path.write_bytes(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["studies", "result.json", "metrics.jsonl", "position.json"])
def test_no_damage_to_a_file_ends_the_comparison_of_a_folder(tmp_path, name):
    folder = build_study(tmp_path)
    places = sorted(folder.glob("studies/*.json" if name == "studies" else f"*/{name}"))
    for path in places[:1]:
        whole = path.read_bytes()
        for damage in sampled(path, 31):
            damage.apply(path)
            with suppress(InputError), warnings.catch_warnings():
                warnings.simplefilter("ignore", Note)
                compare(folder, Workspace(), lambda *_: None)
            path.write_bytes(whole)


def test_damaged_lines_of_a_packed_file_cost_their_runs_alone(tmp_path):
    folder = build_runs(tmp_path / "runs")
    shutil.rmtree(folder / f"{13:016x}")
    packed = tmp_path / "packed"
    pack_runs(folder, packed / "all.runs.jsonl.gz", vectors="all")
    shutil.copytree(folder / "maps", packed / "maps", dirs_exist_ok=True)
    whole = gzip.decompress((packed / "all.runs.jsonl.gz").read_bytes()).decode()
    header, line, *others, _, _ = whole.split("\n")  # the end and nothing after it
    scratch = tmp_path / "line.json"
    scratch.write_text(line)
    lines = []
    for number, damage in enumerate(sampled(scratch, 7)):
        damage.apply(scratch)
        try:
            content = json.loads(scratch.read_text())
        except ValueError:
            content = None
        if isinstance(content, dict) and content.get("id") == TARGET:
            content["id"] = f"{100 + number:016x}"
        lines.append(json.dumps(content))
    text = "\n".join([header, *others, *lines, ""])
    (packed / "all.runs.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    page = page_of(packed)
    assert all(run in page for run in GOOD)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("val_loss", [], "val_loss: input should be a valid number, found \\[\\]"),
        ("scores", {"exact_match": {}}, "scores.exact_match: input should be a valid number"),
        ("steps", 10**400, "steps: input should be less than or equal to"),
        ("lr", "x", "lr"),
        ("displacement_by_site", {"embed": {}}, "displacement_by_site.embed"),
        ("map", "../../elsewhere.safetensors", "map: expected a path below the folder"),
        (
            "nearest_tokens",
            {"embed": {"initial": [[{"token": "a"}]], "final": []}},
            "nearest_tokens.*cosine: field required",
        ),
    ],
)
def test_the_file_and_the_field_of_a_damaged_result_are_named(tmp_path, field, value, said):
    folder = build_runs(tmp_path / "runs")
    path = folder / TARGET / "result.json"
    write_json(path, read_json(path) | {field: value})
    with pytest.raises(InputError, match=rf"result.json is not the result of a run: {said}"):
        read_run(folder / TARGET)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("final/embed", lambda t: t.T.contiguous()),
        ("final/embed", lambda t: t.long()),
        ("final/embed", lambda t: t * float("nan")),
        ("initial/embed", lambda t: t[:1]),
    ],
)
def test_vectors_of_another_shape_or_type_are_damage(tmp_path, name, change):
    run = build_runs(tmp_path / "runs") / TARGET
    tensors, metadata = read_tensors(run / "prompt.safetensors")
    changed = {**tensors, name: change(tensors[name])}
    write_tensors(run / "prompt.safetensors", changed, metadata)
    with pytest.raises(InputError, match=r"prompt.safetensors is damaged: expected"):
        read_run(run).tensors()


def test_both_ends_transposed_are_seen_by_their_number(tmp_path):
    run = build_runs(tmp_path / "runs") / TARGET
    tensors, metadata = read_tensors(run / "prompt.safetensors")
    turned = {k: v.T.contiguous() if v.ndim == 2 else v for k, v in tensors.items()}
    turned = {k: v for k, v in turned.items() if not k.startswith("trajectory")}
    write_tensors(run / "prompt.safetensors", turned, metadata)
    with pytest.raises(InputError, match="expected 4 vectors at 'embed', found 12"):
        read_run(run).tensors()


def test_a_damaged_line_of_metrics_is_named(tmp_path):
    folder = build_runs(tmp_path / "runs")
    path = folder / TARGET / "metrics.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first, json.dumps({"step": []}), *others[1:], ""]))
    with pytest.raises(InputError, match=r"metrics.jsonl, line 2, step: input should be a valid"):
        read_run(folder / TARGET).metrics()
    with pytest.warns(Note, match="metrics.jsonl, line 2, step"):
        assert len(build(folder)) > 0
    assert len(list_runs(folder)) == 8


def test_a_transposed_map_is_said_where_it_would_be_drawn(tmp_path):
    folder = build_runs(tmp_path / "runs")
    path = folder / "maps" / "smollm2.safetensors"
    tensors, metadata = read_tensors(path)
    tensors["components"] = tensors["components"].T.contiguous()
    write_tensors(path, tensors, metadata)
    assert "is not a map: components must be numbers of the shape [2, 12]" in page_of(folder)
    assert torch.is_tensor(tensors["components"])
