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
from promptpriors.runs import list_runs
from promptpriors.runs.study_results import (
    Contrast,
    SettingResult,
    Verdict,
    read_study_result,
    write_study_result,
)
from promptpriors.runs.tables import write_tables
from promptpriors.verdicts.study_tables import RECORDS, study_tables
from tests.report.sample import SCRIPT, build_runs
from tests.report.studying import (
    CEILING,
    EFFECTS,
    FAST,
    FLOOR,
    MARGIN,
    SEEDS,
    SLOW,
    TEXT,
    TEXT_ARM,
    build_study,
    judge_again,
    study,
)
from tests.report.test_page import Reader


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
    return studies(folder, runs, run_styles(runs))


def change(folder, name="screening", **parts):
    path = folder / "studies" / f"{name}.json"
    write_json(path, read_json(path) | parts)


def result_of(folder, name="screening"):
    return read_study_result(folder / "studies" / f"{name}.result.json")


def change_result(folder, **parts):
    """Replace fields of the only setting."""
    result = result_of(folder)
    setting = SettingResult.model_validate(dict(result.settings[0]) | parts)
    write_study_result(folder, result.model_copy(update={"settings": [setting]}))


def run_of(folder, arm, rate=SLOW, seed=0):
    """The folder of a run."""
    members = read_json(folder / "studies" / "screening.json")["runs"]
    wanted = (arm, rate, seed)
    return folder / next(m["id"] for m in members if (m["arm"], m["rate"], m["seed"]) == wanted)


def traces(figure, band=False):
    return [t for t in figure["data"] if t.get("meta") and bool(t["meta"].get("band")) == band]


def test_without_a_study_there_is_nothing(tmp_path):
    page = build(build_runs(tmp_path / "runs"))
    assert 'id="study"' not in page
    assert 'class="group study"' not in page
    assert 'href="#study"' not in page


@pytest.mark.slow
def test_the_study_comes_first_and_its_tables_are_nowhere_else(own):
    write_tables(study_tables([result_of(own)]), own)
    page = build(own)
    assert page.index('id="study"') < page.index('id="runs"')
    assert 'id="compare"' not in page
    assert page.count('data-name="equality"') == page.count('data-name="verdicts"') == 1


@pytest.mark.slow
def test_verdicts_stand_with_their_sign_and_word(page):
    pairs = re.findall(
        r'<span class="verdict (\w+)"><span aria-hidden="true">(.)</span> (.*?)<', page
    )
    assert pairs[:8] == [
        ("yes", "✓", "passed"),
        ("yes", "✓", "passed"),
        ("yes", "✓", "yes"),
        ("yes", "✓", "yes"),
        ("no", "✕", "no"),
        ("equal", "≈", "equal"),
        ("different", "↑", "higher"),
        ("different", "↑", "higher"),
    ]
    assert "does the task decide anything?" in page


@pytest.mark.slow
def test_a_failed_control_is_seen_in_every_verdict(tmp_path):
    page = build(build_study(tmp_path / "runs", failing=True))
    assert '<tr class="no">' in page
    assert page.count('<tr class="none">') == 3
    none = '∅</span> none</span> <span class="besides">the positive control failed</span>'
    arms = len(EFFECTS)
    assert page.count(none) == 3 + (arms - 1 + 2) + (arms * (arms - 1) // 2 + 1)


def test_differences_and_their_margin_are_those_of_the_table(folder):
    figure = panel_of(folder).forest
    names = [trace["legendgroup"] for trace in figure["data"]]
    assert names == ["gaussian", TEXT_ARM, "isotropic", "vocabulary, second name",
                     "positive control"]  # fmt: skip
    (band,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert (band["x0"], band["x1"]) == pytest.approx((-MARGIN, MARGIN))
    assert "validation loss, nats per target token" in figure["layout"]["xaxis"]["title"]["text"]


@pytest.mark.slow
def test_arms_have_the_colours_of_their_priors_and_controls_dotted_lines(folder):
    style = run_styles(list_runs(folder))
    styles = panel_of(folder).styles
    for arm in ("vocabulary", "gaussian", "isotropic"):
        assert styles[arm][:2] == style.styles[arm]
    assert styles["vocabulary, second name"].colour == style.styles["vocabulary"].colour
    assert styles["positive control"].dash == "dot"
    assert re.findall(r">([^<>]*) <small>reference</small>", build(folder)) == ["vocabulary"]


def test_curves_are_means_over_the_runs_that_the_study_names(folder):
    drawn = panel_of(folder).drawn
    curve = next(c for c in drawn.curves if (c.arm, c.rate) == ("gaussian", FAST))
    mine = [m for m in read_json(folder / "studies" / "screening.json")["runs"]
            if (m["arm"], m["rate"]) == ("gaussian", FAST)]  # fmt: skip
    ends = [read_json(path) for m in mine if (path := folder / m["id"] / "result.json").exists()]
    assert curve.runs == len(ends) == SEEDS - 2
    assert curve.mean[-1] == pytest.approx(mean(end["val_loss"] for end in ends))
    assert curve.low[-1] < curve.mean[-1] < curve.high[-1]


def test_a_choice_shows_one_curve_of_each_arm_and_an_arm_of_one_rate_always(folder):
    drawn = panel_of(folder).drawn
    assert [value for value, _ in drawn.options] == ["best", SLOW, FAST]
    for choice, _ in drawn.options:
        shown = [c for c, mine in zip(drawn.curves, drawn.choices, strict=True) if choice in mine]
        assert [c.arm for c in shown] == [*EFFECTS, "positive control", "vocabulary, second name"]
        rates = {c.rate for c in shown if c.arm != "positive control"}
        assert rates == {choice if choice != "best" else SLOW}


@pytest.mark.slow
def test_the_best_rate_is_the_results_and_else_that_of_the_lowest_loss(own):
    def best():
        drawn = panel_of(own).drawn
        pairs = zip(drawn.curves, drawn.choices, strict=True)
        return {c.arm: c.rate for c, mine in pairs if "best" in mine}

    assert best()["vocabulary"] == SLOW
    arms = result_of(own).settings[0].arms
    change_result(own, arms=[arm.model_copy(update={"best_rate": FAST}) for arm in arms[:1]])
    assert (best()["vocabulary"], best()["isotropic"]) == (FAST, SLOW)
    (own / "studies" / "screening.result.json").unlink()
    assert best()["vocabulary"] == SLOW


@pytest.mark.slow
def test_a_study_of_scores_shows_the_scale_of_the_score_with_its_margin(tmp_path):
    folder = build_study(tmp_path / "runs", metric="scores.accuracy")
    facts = dict(panel_of(folder).facts)
    top = 1 - CEILING / FLOOR
    assert facts["compared by"] == "scores.accuracy"
    assert facts["equal within"] == f"±{0.05 * top:.3g}, 5 % of floor to ceiling"
    assert (facts["floor"], facts["ceiling"]) == ("0.000", f"{top:.3f}")
    assert {level.value for level in panel_of(folder).drawn.levels} == {FLOOR, TEXT, CEILING}
    assert "the validation losses of what is not trained" in " ".join(build(folder).split())
    title = panel_of(folder).forest["layout"]["xaxis"]["title"]["text"]
    assert title == "scores.accuracy, share,<br>less that of vocabulary"
    (folder / "studies" / "screening.result.json").unlink()
    facts = dict(panel_of(folder).facts)
    assert facts["equal within"] == "5 % of floor to ceiling"
    assert not {"floor", "ceiling"} & set(facts)


@pytest.mark.slow
def test_without_a_result_a_study_of_losses_shows_what_its_runs_say(own):
    before = dict(panel_of(own).facts)
    (own / "studies" / "screening.result.json").unlink()
    panel = panel_of(own)
    facts = dict(panel.facts)
    assert facts == before | {"equal within": "5 % of floor to ceiling"}
    assert (facts["floor"], facts["ceiling"]) == (f"{FLOOR:.3f}", f"{CEILING:.3f}")
    assert panel.bands["data"]
    assert (panel.result, panel.forest, panel.tables) == (None, None, {})


@pytest.mark.slow
def test_floor_text_and_the_best_ceiling_lie_across(own):
    levels = {level.role: level.value for level in panel_of(own).drawn.levels}
    assert levels == {"floor": FLOOR, "text": TEXT, "ceiling": CEILING}
    members = read_json(own / "studies" / "screening.json")["runs"]
    change(own, runs=[member for member in members if member["kind"] == "arm"])
    levels = {level.role: level.value for level in panel_of(own).drawn.levels}
    assert levels == {"floor": pytest.approx(FLOOR)}


def test_runs_that_did_not_finish_are_counted_and_named(folder, page):
    lost = panel_of(folder).drawn.lost
    assert [(item.status, item.member.seed) for item in lost] == [
        ("failed", SEEDS - 2),
        ("missing", SEEDS - 1),
    ]
    assert "2 of 59 runs are left out." in page
    assert "failed: the loss is no longer a number at step 12" in page
    assert f'<a href="#run-{lost[0].member.id}">' in page


@pytest.mark.slow
def test_a_run_without_evaluations_is_counted_too(own):
    (run_of(own, "vocabulary") / "metrics.jsonl").unlink()
    assert panel_of(own).drawn.lost[0].status == "without evaluations"
    assert "3 of 59 runs are left out." in build(own)


@pytest.mark.slow
def test_runs_that_share_no_step_are_in_no_curve_and_counted(own):
    path = run_of(own, "vocabulary") / "metrics.jsonl"
    records = [
        json.loads(line) | {"step": 1000 + i}
        for i, line in enumerate(path.read_text().splitlines())
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    drawn = panel_of(own).drawn
    assert [item.status for item in drawn.lost][2:] == ["no step in common"] * SEEDS
    assert ("vocabulary", SLOW) not in [(c.arm, c.rate) for c in drawn.curves]


@pytest.mark.slow
def test_an_arm_without_a_difference_is_named_beneath_the_figure(own):
    gaussian, *_ = result_of(own).settings[0].contrasts
    few = Verdict(state="none", reason="few")
    without = Contrast(arm="text", kind="arm", difference=None, verdict=few.model_dump())
    change_result(own, contrasts=[gaussian, without], margin=None)
    assert [trace["legendgroup"] for trace in panel_of(own).forest["data"]] == ["gaussian"]
    page = " ".join(build(own).split())
    assert "Without a difference, for the reason in the table: text." in page
    assert "There is no margin in these units, so nothing can be called equal." in page


@pytest.mark.slow
def test_without_any_difference_the_reasons_are_still_there(own):
    contrasts = result_of(own).settings[0].contrasts
    change_result(own, contrasts=[c.model_copy(update={"difference": None}) for c in contrasts])
    panel = panel_of(own)
    assert panel.forest is None
    assert "differences" in {table.name for table in panel.others}


@pytest.mark.slow
def test_every_table_of_the_result_is_on_the_page_once_with_its_rows(own):
    page, setting = build(own), result_of(own).settings[0]
    for name in RECORDS:
        assert page.count(f'data-name="{name}"') == 1, name
    for name in set(RECORDS) - {"verdicts"}:
        assert len(panel_of(own).tables[name].cells) == len(RECORDS[name](setting))
    assert 'id="compare"' not in page


@pytest.mark.slow
def test_the_page_reads_results_and_no_tables_of_studies(own):
    tables = study_tables([result_of(own)])
    other = tables[0].model_copy(update={"name": "general", "title": "Of no study"})
    write_tables([*tables, other], own)
    (own / "studies" / "screening.result.json").unlink()
    page = build(own)
    assert "No verdicts are stored" in page
    assert re.findall(r'data-name="(\w+)"', page) == ["curves", "general"]


def test_runs_without_vectors_are_in_the_tables_and_said(page, folder):
    assert not list(folder.glob("*/prompt.safetensors"))
    assert "53 of 53 runs are here without their vectors (prompt.safetensors)" in page
    assert "How far they moved" not in page
    assert page.count('<tr class="done">') == 57


def test_vectors_that_are_there_are_still_shown(tmp_path):
    folder = build_runs(tmp_path / "runs")
    (folder / f"{0:016x}" / "prompt.safetensors").unlink()
    (folder / f"{1:016x}" / "prompt.safetensors").write_bytes(b"no tensors")
    page = build(folder)
    assert "1 of 4 runs are here without their vectors" in page
    assert "0000000000000001/prompt.safetensors is damaged" in page
    shown = [d for d in Reader(page).data if "data" in d and d["data"][0]["type"] == "box"]
    assert [trace["name"] for trace in shown[0]["data"]] == ["isotropic · seed 0", "text · seed 0"]


@pytest.mark.slow
def test_each_setting_and_each_study_has_a_panel(tmp_path):
    folder = build_study(tmp_path / "runs", setting="squad", seeds=1)
    study(setting="c4 · kv", name="second", seeds=1).write(folder)
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


@pytest.mark.slow
def test_a_result_without_the_studys_record_is_shown_without_curves(own):
    (own / "studies" / "screening.json").unlink()
    panel = panel_of(own)
    assert panel.forest["data"]
    assert panel.result.verdicts
    assert panel.bands is None
    assert dict(panel.facts)["compared by"] == "validation loss"
    page = build(own)
    assert "<code>studies/screening.json</code>, which names the runs, is not there" in page


@pytest.mark.slow
def test_an_earlier_comparison_is_told(own):
    change(own, earlier=[{"reference": "gaussian", "margin": 0.2}])
    page = build(own)
    assert "The comparison was fixed otherwise before: reference gaussian, margin 0.2." in page


@pytest.mark.slow
def test_another_metric_has_no_unit_of_losses(own):
    change_result(own, metric="displacement", unit="")
    title = panel_of(own).forest["layout"]["xaxis"]["title"]["text"]
    assert title == "displacement,<br>less that of vocabulary"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not readable JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps({"format": 1}), "needs the parameters 'name'"),
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda content: content.update(format=2), "has format 2, expected 1"),
        (lambda content: content["settings"][0]["arms"][0].update(kind=SCRIPT), "arms.0.kind"),
        (lambda content: content["settings"][0].pop("verdicts"), "verdicts: Field required"),
    ],
)
def test_a_damaged_or_newer_result_is_named_and_the_rest_is_shown(own, edit, said):
    study(name="second", seeds=1).write(own)
    judge_again(own)
    path = own / "studies" / "screening.result.json"
    content = read_json(path)
    edit(content)
    write_json(path, content)
    seen = found(own)
    (problem,) = seen.problems
    assert problem.startswith(f"A study’s result can’t be shown: {path}")
    assert said in problem
    first, second = seen.panels
    assert (first.result, bool(first.bands)) == (None, True)
    assert second.result.verdicts
    page = build(own)
    assert "screening.result.json" in page
    assert SCRIPT not in page


def test_names_from_files_are_text(page):
    assert SCRIPT not in page
    read = Reader(page)
    assert read.code == 2
    assert any(SCRIPT in row for row in read.rows)


@pytest.mark.slow
def test_a_large_study_adds_less_than_a_megabyte(tmp_path):
    effects = {"vocabulary": 0.0} | {f"arm {i} of a dozen": 0.02 * i for i in range(11)}
    folder = build_study(tmp_path / "runs", effects, seeds=4, every=1, lost=set(), absent=set())
    assert len(list_runs(folder)) > 100
    whole = len(build(folder).encode())
    (folder / "studies" / "screening.result.json").unlink()
    (folder / "studies" / "screening.json").unlink()
    assert whole - len(build(folder).encode()) < 1_000_000


def test_no_folder_of_runs_is_still_an_error(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.json").write_text("{}")
    with pytest.raises(InputError, match="holds no runs"):
        build(tmp_path)
