"""Charts, claims and comparisons as the page holds them: what is kept, thinned, refused, named."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.files import write_json
from promptpriors.report import build, write_report
from promptpriors.report.charts import as_base64, quantised, safe_json
from promptpriors.report.claims import claims, flat
from promptpriors.report.tables import read_tables
from promptpriors.runs import list_charts, list_runs, read_chart, write_chart
from tests.report.exploring import DOMAINS, build_all
from tests.report.sample import SCRIPT, build_runs


def data(page, name):
    block = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    return json.loads(block.group(1), parse_constant=pytest.fail)


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture
def full(tmp_path):
    return build_all(tmp_path / "runs")


def changed(folder, **parts):
    """The first chart with other parts."""
    path = list_charts(folder)[0]
    write_chart(path, read_chart(path)._replace(**parts))
    return build(folder)


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=30),
)
def test_quantised_points_come_back_within_half_a_level(points):
    exact = torch.tensor(points, dtype=torch.float32)
    stored = quantised(exact)
    levels = numbers(stored["data"], "<i2").reshape(-1, 2).astype(float)
    low, high = np.array(stored["low"]), np.array(stored["high"])
    back = low + (high - low) * (levels + 32768) / 65535
    assert (np.abs(back - exact.numpy()) <= 0.5001 * (high - low) / 65535 + 1e-12).all()


def test_packed_values_are_little_endian():
    values = torch.tensor([1.5, -2.0])
    assert numbers(as_base64(values, torch.float32), "<f4").tolist() == [1.5, -2.0]


def test_inert_json_can_neither_end_its_element_nor_hold_a_nan():
    text = safe_json({"a": SCRIPT, "b": float("nan")})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": SCRIPT, "b": None}


@pytest.mark.slow
def test_a_chart_keeps_its_tokens_domains_and_documents(full):
    page, chart = build(full), read_chart(list_charts(full)[0])
    stored, tokens = data(page, "chart-0"), data(page, "shared")["tokens"]
    assert [name for name, _ in stored["domains"]] == DOMAINS
    assert numbers(stored["domain"], "<i2").tolist() == chart.domain.tolist()
    assert numbers(stored["document"], "<i4").tolist() == chart.document.tolist()
    shown = [tokens[i] for i in numbers(stored["token"], "<i4")]
    assert shown == [label.replace(" ", "␣") for label in chart.labels]
    assert stored["points"] == stored["whole"] == 400


def test_a_way_has_the_runs_own_steps_losses_and_distances(full):
    run = next(r for r in list_runs(full) if r.config["prior"]["name"] == "isotropic")
    stored = next(p for p in data(build(full), "chart-0")["prompts"] if p["run"] == run.id)
    path = run.tensors()["trajectory/embed"]
    assert stored["steps"] == run.tensors()["trajectory/steps"].tolist()
    assert stored["losses"] == [r["val_loss"] for r in run.metrics() if r["val_loss"]]
    moved = (path - path[0]).norm(dim=-1).flatten().tolist()
    assert numbers(stored["distances"], "<f4").tolist() == pytest.approx(moved)
    assert len(stored["displacements"]) == 4


def test_a_way_of_two_moments_is_start_and_end(full):
    chart, run = read_chart(list_charts(full)[0]), list_runs(full)[0]
    ends = {layout: way[[0, -1]] for layout, way in chart.prompts[run.id].items()}
    stored = data(changed(full, prompts={run.id: ends}), "chart-0")["prompts"][0]
    assert stored["steps"] == [0, 40]
    tensors = run.tensors()
    moved = (tensors["final/embed"] - tensors["initial/embed"]).norm(dim=1).tolist()
    assert numbers(stored["distances"], "<f4").tolist() == pytest.approx([0, 0, 0, 0, *moved])


def test_a_site_without_vectors_has_no_distances(full):
    stored = data(build(full), "chart-1")["prompts"][0]
    assert stored["distances"] is None
    assert stored["displacements"] == [None] * 4
    assert stored["nearest"] == {"initial": [[]] * 4, "final": [[]] * 4}


def test_ways_that_are_not_the_runs_are_left_out_and_said(full):
    chart = read_chart(list_charts(full)[0])
    first, second, *_ = chart.prompts
    short = {layout: way[:3] for layout, way in chart.prompts[first].items()}
    copy = {layout: way.clone() for layout, way in short.items()}
    page = changed(full, prompts={first: short, second: chart.prompts[second], "gone": copy})
    assert [p["run"] for p in data(page, "chart-0")["prompts"]] == [second]
    assert f"the chart has 3 moments of run {first}, the run stored 5" in page
    assert "no finished run gone is in the folder" in page


@pytest.mark.slow
def test_large_charts_are_thinned_and_every_prompt_stays(tmp_path):
    page = build(build_all(tmp_path / "runs", points=60_000, charts=1))
    stored = data(page, "chart-0")
    assert (stored["points"], stored["whole"]) == (50_000, 60_000)
    assert len(numbers(stored["domain"], "<i2")) == 50_000
    assert len(stored["prompts"]) == 4


@pytest.mark.slow
def test_many_charts_are_thinned_until_the_page_fits(tmp_path):
    out = write_report(build_all(tmp_path / "runs", points=50_000, charts=14))
    page = out.read_text()
    sizes = {data(page, f"chart-{i}")["points"] for i in range(14)}
    assert 14_000_000 < out.stat().st_size <= 15_000_000
    assert len(sizes) == 1
    assert 15_000 < sizes.pop() < 50_000


@pytest.mark.slow
def test_a_thinned_page_is_the_same_each_time(tmp_path):
    folder = build_all(tmp_path / "runs", points=51_000, charts=1)
    assert build(folder) == build(folder)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"domains": ["one"]}, "domain must be a number below 1"),
        ({"document": torch.zeros(3)}, "domain and document must be 400 whole numbers"),
        ({"labels": [1] * 400}, "domains and labels must be lists of strings"),
        ({"explained": torch.zeros(3)}, "explained must be 2 shares"),
        ({"layouts": {"pca": torch.full((400, 2), torch.nan)}}, "coordinates that are no numbers"),
        ({"layouts": {"pca": torch.zeros(400, 3)}}, "layout pca must be 400 points of 2"),
        ({"prompts": {"a": {"pca": torch.zeros(3, 2)}}}, "prompts of a must be moments × vectors"),
    ],
)
def test_a_foreign_chart_is_named_and_the_other_one_shown(full, parts, said):
    page = changed(full, **parts)
    assert "A chart can’t be shown: " in page
    assert said in page
    assert data(page, "chart-0")["site"] == "block.1"
    assert 'id="chart-1"' not in page


def test_a_damaged_chart_alone_leaves_its_line_and_the_rest(full):
    for path in list_charts(full):
        path.write_bytes(b"no")
    page = build(full)
    assert page.count("A chart can’t be shown: ") == 2
    assert 'id="explorer"' not in page
    assert "Arithmetic forms a cluster of its own." in page


def test_a_folder_without_extras_has_none_of_their_sections(tmp_path):
    page = build(build_runs(tmp_path))
    assert not any(f'<section id="{name}"' in page for name in ("explore", "claims", "compare"))


def test_claims_show_verdict_statistic_and_evidence(full):
    page = build(full)
    panel = page[page.index('id="claim-1"') : page.index('id="claim-2"')]
    stated = ("confirmed", "energy distance ratio", "4.22", "3.10 to 5.60", "&lt; 0.001")
    for text in (*stated, "48 documents a domain.", "figures 6 --runs", "energy / C4 / SQuAD"):
        assert text in panel, text
    third = page[page.index('id="claim-3"') : page.index('id="claim-4"')]
    assert "<dt>value</dt>" not in third
    assert "Figure 9 is not stored." in third


def test_a_figure_of_two_claims_is_shown_once_and_linked_then(full):
    page = build(full)
    assert page.count('id="figure-6"') == 1
    assert '<a href="#figure-6">' in page[page.index('id="claim-2"') :]
    assert page.index("Further figures") < page.index('id="figure-12"')


def test_figures_without_claims_are_shown(full):
    (full / "claims.json").unlink()
    found = claims(full)
    assert [p.figure.figure for p in found.others] == [6, 7, 12]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not readable JSON"),
        ('{"claim": []}', "has no list 'claims'"),
        ("[]", "has no list 'claims'"),
    ],
)
def test_damaged_claims_are_named_in_one_line(full, content, said):
    (full / "claims.json").write_text(content)
    found = claims(full)
    assert len(found.problems) == 1
    assert said in found.problems[0]
    assert "\n" not in found.problems[0]
    assert found.problems[0].replace("'", "&#39;") in build(full)


def test_one_wrong_claim_is_named_and_the_rest_shown(full):
    stored = json.loads((full / "claims.json").read_text())
    stored["claims"][1]["study"]["verdict"] = "certain"
    write_json(full / "claims.json", stored)
    found = claims(full)
    assert [panel.claim is None for panel in found.panels] == [False, True, False, False]
    assert (
        "entry 2: study.verdict = 'certain': input should be 'conf" in found.panels[1].problems[0]
    )


@pytest.mark.slow
def test_a_study_counts_first_and_the_figures_verdict_stands_below(full):
    page = build(full)
    panel = page[page.index('id="claim-2"') : page.index('id="claim-3"')]
    order = ("refuted", "a study", "12 seeds.", "undecided", "figures", "one run of each prior")
    at = 0
    for text in order:
        at = panel.index(text, at)
    assert "<dd>4.5</dd>" in page


def test_damaged_figures_are_named_where_they_would_stand(full):
    (full / "figures" / "fig06.png").write_bytes(b"\x89PNG\r\n\x1a\ncut off")
    (full / "figures" / "fig07.json").write_text("[]")
    (full / "figures" / "fig12.png").unlink()
    found = claims(full)
    first = found.panels[0]
    assert "fig06.png is damaged or not a PNG" in first.pictures[0].problem
    assert "Figure 7 can’t be shown" in first.problems[0]
    assert "No such file" in found.others[0].problem
    assert "No image can be shown" in build(full)


def test_images_beyond_the_room_are_named(full, monkeypatch):
    monkeypatch.setattr("promptpriors.report.claims.ROOM", 10)
    assert "too large for this page" in claims(full).panels[0].pictures[0].problem


def test_long_lists_of_numbers_are_cut_and_counted():
    lines = dict(flat({"a": list(range(1000)), "b": [[i] for i in range(50)]}))
    assert lines["a"].endswith("39, … (1,000 values)")
    assert lines["b / 0"] == "0"
    assert lines["b"] == "… and 10 more"


def test_comparisons_keep_numbers_whole_and_show_four_digits(full):
    table = read_tables(full).tables[0]
    assert table.numeric == [False, True, True, True]
    assert table.cells[0][1][:2] == ("1.23456789", "1.235")
    assert table.cells[1][2][:2] == ("", "–")
    assert table.cells[0][3][:2] == ("3", "3")


def test_a_column_of_verdicts_has_their_signs_and_other_words_stay_words(full):
    rows = [["confirmed", "equal"], ["who knows", "equal"]]
    claims_table = {"name": "claims", "title": "", "note": "", "columns": ["verdict", "x"]}
    write_json(full / "compare.json", {"tables": [claims_table | {"rows": rows}]})
    (table,) = read_tables(full).tables
    marks = [[cell.mark and cell.mark.sign for cell in row] for row in table.cells]
    assert marks == [["✓", None], [None, None]]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([{"name": "a"}], "table 1, title: Field required"),
        ([{"name": "a", "title": "A", "note": "", "columns": ["x"], "rows": [[1, 2]]}],
         "row 0 has 2 values, 1 columns"),
        ("none", "has no list 'tables'"),
    ],
)  # fmt: skip
def test_damaged_comparisons_are_named(full, tables, said):
    write_json(full / "compare.json", {"tables": tables})
    found = read_tables(full)
    assert found.tables == []
    assert said in found.problems[0]
    assert found.problems[0].replace("'", "&#39;") in build(full)


def test_text_of_charts_claims_and_comparisons_is_text(full):
    page = build(full)
    assert SCRIPT not in page
    blocks = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    assert len(blocks) == 10
    assert not any(c in block for block in blocks for c in "<>&\u2028\u2029")
    assert page.count("<script>") == 2


@pytest.mark.slow
def test_every_link_and_label_leads_to_one_place(full):
    page = build(full)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    named = re.findall(r'(?:href="#|for="|aria-labelledby=")([^"]+)"', page)
    assert set(named) <= set(ids)
