"""A study as the page holds it: verdicts, figures, lost runs; what is damaged is named."""

import json
import re
from statistics import mean

import pytest

from promptpriors.errors import InputError
from promptpriors.figures import run_styles
from promptpriors.files import read_json, write_json
from promptpriors.report import build
from promptpriors.report.study import studies
from promptpriors.report.tables import compared
from promptpriors.runs import list_runs
from promptpriors.runs.tables import write_tables
from promptpriors.verdicts.study_tables import read_study_tables
from tests.report.sample import NO_PROMPT, SCRIPT, build_runs
from tests.report.studying import EFFECTS, LORA, MARGIN, RATES, TEXT, build_study, table
from tests.report.test_page import Reader

FAST, SLOW = (f"{rate:g} relative" for rate in reversed(RATES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_study(tmp_path_factory.mktemp("study") / "runs")


@pytest.fixture(scope="module")
def page(folder):
    return build(folder)


@pytest.fixture
def own(tmp_path):
    """A folder that a test may change."""
    return build_study(tmp_path / "runs")


def panel_of(folder):
    (panel,) = found(folder).panels
    return panel


def found(folder):
    runs = list_runs(folder)
    return studies(folder, runs, run_styles(runs), compared(folder))


def change(folder, name="screening", **parts):
    path = folder / "studies" / f"{name}.json"
    write_json(path, read_json(path) | parts)


def retable(folder, name, records):
    path = folder / "compare.json"
    kept = [stored for stored in read_json(path)["tables"] if stored["name"] != name]
    write_json(path, {"tables": [*kept, *([table(name, name, "", records)] if records else [])]})


def traces(figure, band=False):
    return [t for t in figure["data"] if t.get("meta") and bool(t["meta"].get("band")) == band]


def test_without_a_study_there_is_nothing(tmp_path):
    page = build(build_runs(tmp_path / "runs"))
    assert 'id="study"' not in page
    assert 'class="group study"' not in page
    assert 'href="#study"' not in page


def test_the_study_comes_first_and_its_tables_are_nowhere_else(page):
    assert page.index('id="study"') < page.index('id="runs"')
    assert 'id="compare"' not in page
    assert page.count('data-name="equality"') == page.count('data-name="verdicts"') == 1


def test_verdicts_stand_with_their_sign_and_word(page):
    pairs = re.findall(
        r'<span class="verdict (\w+)"><span aria-hidden="true">(.)</span> (.*?)<', page
    )
    assert pairs[:5] == [
        ("yes", "✓", "passed"),
        ("yes", "✓", "passed"),
        ("yes", "✓", "yes"),
        ("undecided", "?", "undecided"),
        ("blank", "∅", "not testable"),
    ]


def test_a_failed_control_is_seen_in_every_verdict(tmp_path):
    page = build(build_study(tmp_path / "runs", failing=True))
    assert '<tr class="no">' in page
    assert page.count('<tr class="none">') == 2
    none = '∅</span> none</span> <span class="besides">control failed</span>'
    assert page.count(none) == 2 + len(EFFECTS) - 1 + 2


def test_differences_and_their_margin_are_those_of_the_table(folder):
    figure = panel_of(folder).forest
    names = [trace["legendgroup"] for trace in figure["data"]]
    assert names == ["gaussian", f"text {SCRIPT}", "isotropic", "vocabulary, second name",
                     "positive control"]  # fmt: skip
    (band,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert (band["x0"], band["x1"]) == (-MARGIN, MARGIN)
    assert "validation loss, nats per target token" in figure["layout"]["xaxis"]["title"]["text"]


def test_arms_have_the_colours_of_their_priors_and_controls_dotted_lines(folder):
    style = run_styles(list_runs(folder))
    chips = {chip.arm: chip for chip in panel_of(folder).chips}
    for arm in ("vocabulary", "gaussian", "isotropic"):
        assert chips[arm].style[:2] == style.styles[arm]
    assert chips["vocabulary, second name"].style.colour == style.styles["vocabulary"].colour
    assert chips["positive control"].style.dash == "dot"
    assert [arm for arm, chip in chips.items() if chip.note] == ["vocabulary"]


def test_curves_are_means_over_the_runs_that_the_study_names(folder):
    drawn = panel_of(folder).drawn
    curve = next(c for c in drawn.curves if (c.arm, c.rate) == ("gaussian", FAST))
    mine = [m for m in read_json(folder / "studies" / "screening.json")["runs"]
            if (m["arm"], m["rate"]) == ("gaussian", FAST)]  # fmt: skip
    ends = [read_json(path) for m in mine if (path := folder / m["id"] / "result.json").exists()]
    assert curve.runs == len(ends) == 3
    assert curve.mean[-1] == pytest.approx(mean(end["val_loss"] for end in ends))
    assert curve.low[-1] < curve.mean[-1] < curve.high[-1]


def test_a_choice_shows_one_curve_of_each_arm_and_an_arm_of_one_rate_always(folder):
    drawn = panel_of(folder).drawn
    assert [value for value, _ in drawn.options] == ["best", SLOW, FAST]
    for choice, _ in drawn.options:
        shown = [c for c, mine in zip(drawn.curves, drawn.choices, strict=True) if choice in mine]
        assert [c.arm for c in shown] == [*EFFECTS, "positive control", "vocabulary, second name"]
        rates = {c.rate for c in shown if c.arm != "positive control"}
        assert rates == {choice if choice != "best" else FAST}


def test_the_best_rate_is_the_tables_and_else_that_of_the_lowest_loss(own):
    def best():
        drawn = panel_of(own).drawn
        pairs = zip(drawn.curves, drawn.choices, strict=True)
        return {c.arm: c.rate for c, mine in pairs if "best" in mine}

    records = [{"study": "screening", "setting": "", "arm": arm, "kind": "arm", "best rate": SLOW}
               for arm in ("vocabulary", "gaussian")]  # fmt: skip
    retable(own, "arms", records)
    assert (best()["vocabulary"], best()["isotropic"]) == (SLOW, FAST)
    retable(own, "arms", [])
    assert best()["vocabulary"] == FAST


def test_floor_text_and_the_best_ceiling_lie_across(own):
    levels = {level.role: level.value for level in panel_of(own).drawn.levels}
    assert levels == {"floor": NO_PROMPT, "text": TEXT, "ceiling": LORA}
    members = read_json(own / "studies" / "screening.json")["runs"]
    change(own, runs=[member for member in members if member["kind"] == "arm"])
    levels = {level.role: level.value for level in panel_of(own).drawn.levels}
    assert levels == {"floor": pytest.approx(NO_PROMPT)}


def test_runs_that_did_not_finish_are_counted_and_named(folder, page):
    lost = panel_of(folder).drawn.lost
    assert [(item.status, item.member.seed) for item in lost] == [("failed", 3), ("missing", 4)]
    assert "2 of 39 runs are left out." in page
    assert "failed: the loss is no longer a number at step 12" in page
    assert f'<a href="#run-{lost[0].member.id}">' in page


def test_a_run_without_evaluations_is_counted_too(own):
    (own / f"{100:016x}" / "metrics.jsonl").unlink()
    assert panel_of(own).drawn.lost[0].status == "without evaluations"
    assert "3 of 39 runs are left out." in build(own)


def test_runs_that_share_no_step_are_in_no_curve_and_counted(own):
    path = own / f"{100:016x}" / "metrics.jsonl"
    records = [
        json.loads(line) | {"step": 1000 + i}
        for i, line in enumerate(path.read_text().splitlines())
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    drawn = panel_of(own).drawn
    assert [item.status for item in drawn.lost][2:] == ["no step in common"] * 3
    assert ("vocabulary", SLOW) not in [(c.arm, c.rate) for c in drawn.curves]


def test_an_arm_without_a_difference_is_named_beneath_the_figure(own):
    cases = (("gaussian", 0.1, "higher"), ("text", None, "none: few"))
    records = [{"study": "screening", "setting": "", "arm": arm, "reference": "vocabulary",
                "difference": number, "low": None, "high": None, "margin": None, "verdict": said}
               for arm, number, said in cases]  # fmt: skip
    retable(own, "differences", records)
    assert [trace["legendgroup"] for trace in panel_of(own).forest["data"]] == ["gaussian"]
    page = " ".join(build(own).split())
    assert "Without a difference, for the reason in the table: text." in page
    assert "There is no margin in these units, so nothing can be called equal." in page


def test_what_compare_stores_is_what_the_page_reads(own):
    write_tables(read_study_tables(own), own)
    panel, seen = panel_of(own), found(own)
    assert seen.problems == []
    assert {v.question for v in panel.verdicts} >= {"positive control", "negative control"}
    drawn = [trace["legendgroup"] for trace in panel.forest["data"]]
    assert set(EFFECTS) - {"vocabulary"} <= {*drawn, *panel.undrawn}
    assert {table.name for table in panel.others} == {
        "equality", "power", "components", "plateaus"
    }  # fmt: skip
    assert panel.arms.rows
    page = build(own)
    assert 'id="compare"' not in page
    marks = re.findall(r'<span class="verdict (\w+)">', page)
    assert marks
    assert "other" not in marks


def test_runs_without_vectors_are_in_the_tables_and_said(page, folder):
    assert not list(folder.glob("*/prompt.safetensors"))
    assert "34 of 34 runs are here without their vectors (prompt.safetensors)" in page
    assert "How far they moved" not in page
    assert page.count('<tr class="done">') == 37


def test_vectors_that_are_there_are_still_shown(tmp_path):
    folder = build_runs(tmp_path / "runs")
    (folder / f"{0:016x}" / "prompt.safetensors").unlink()
    (folder / f"{1:016x}" / "prompt.safetensors").write_bytes(b"no tensors")
    page = build(folder)
    assert "1 of 4 runs are here without their vectors" in page
    assert "0000000000000001/prompt.safetensors is damaged" in page
    shown = [d for d in Reader(page).data if "data" in d and d["data"][0]["type"] == "box"]
    assert [trace["name"] for trace in shown[0]["data"]] == ["isotropic · seed 0", "text · seed 0"]


def test_each_setting_and_each_study_has_a_panel(tmp_path):
    folder = build_study(tmp_path / "runs", setting="squad", seeds=1)
    build_study(folder, setting="c4 · kv", name="second", seeds=1, first=500, tables=False)
    assert [(p.study, p.setting) for p in found(folder).panels] == [
        ("screening", "squad"),
        ("second", "c4 · kv"),
    ]
    page = build(folder)
    assert "<h2>Studies</h2>" in page
    assert "No verdicts are stored; <code>promptpriors compare</code> makes them." in page
    read = Reader(page)
    assert len(set(read.ids)) == len(read.ids)
    assert {a[1:] for a in read.addresses if a[0] == "#"} <= set(read.ids)


def test_one_seed_has_lines_and_no_bands(tmp_path):
    figure = panel_of(build_study(tmp_path / "runs", seeds=1)).bands
    assert traces(figure)
    assert not traces(figure, band=True)


def test_tables_without_the_studys_file_are_shown_without_curves(own):
    (own / "studies" / "screening.json").unlink()
    panel = panel_of(own)
    assert panel.forest["data"]
    assert panel.bands is None
    page = build(own)
    assert "<code>studies/screening.json</code>, which names the runs, is not there" in page


def test_an_earlier_comparison_is_told(own):
    change(own, earlier=[{"reference": "gaussian", "margin": 0.2}])
    page = build(own)
    assert "The comparison was fixed otherwise before: reference gaussian, margin 0.2." in page


def test_another_metric_has_no_unit_of_losses(own):
    rules = {"reference": "vocabulary", "margin": 0.05, "metric": "displacement"}
    change(own, compare=rules)
    title = panel_of(own).forest["layout"]["xaxis"]["title"]["text"]
    assert title == "displacement,<br>less that of vocabulary"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not readable JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps({"format": 1}), "needs the parameter 'name'"),
        (json.dumps({"format": 9, "name": "x", "compare": {"margin": 0.1}, "runs": []}),
         "has format 9, expected 1"),
        (json.dumps({"format": 1, "name": "x", "compare": {"margin": 0.1},
                     "runs": [{"id": "a", "kind": SCRIPT, "arm": "a", "seed": 0}]}),
         "input should be 'arm'"),
        (json.dumps({"format": 1, "name": "screening", "compare": {"margin": 0.1}, "runs": []}),
         "another study is called"),
    ],
)  # fmt: skip
def test_a_damaged_study_is_named_and_the_others_are_shown(own, content, said):
    (own / "studies" / "worse.json").write_text(content)
    seen = found(own)
    (problem,) = seen.problems
    assert problem.startswith("A study can’t be shown: ")
    assert "worse.json" in problem
    assert said in problem
    assert len(seen.panels) == 1
    page = build(own)
    assert "worse.json" in page
    assert SCRIPT not in page


@pytest.mark.parametrize("name", ["verdicts", "differences", "arms"])
def test_a_table_that_can_not_be_drawn_is_named_and_shown_as_it_is(own, name):
    retable(own, name, [{"study": "screening", "setting": "", "wrong": SCRIPT}])
    page = build(own)
    assert f"A table is shown as it is and not drawn: table &#39;{name}&#39;, row 1" in page
    assert f'data-name="{name}"' in page
    assert SCRIPT not in page


def test_names_from_files_are_text(page):
    assert SCRIPT not in page
    read = Reader(page)
    assert read.code == 2
    assert any(SCRIPT in row for row in read.rows)


def test_a_large_study_adds_less_than_a_megabyte(tmp_path):
    effects = {"vocabulary": 0.0} | {f"arm {i} of a dozen": 0.02 * i for i in range(11)}
    folder = build_study(tmp_path / "runs", effects, seeds=4, evaluations=41)
    assert len(list_runs(folder)) > 100
    whole = len(build(folder).encode())
    (folder / "compare.json").unlink()
    (folder / "studies" / "screening.json").unlink()
    assert whole - len(build(folder).encode()) < 1_000_000


def test_no_folder_of_runs_is_still_an_error(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.json").write_text("{}")
    with pytest.raises(InputError, match="holds no runs"):
        build(tmp_path)
