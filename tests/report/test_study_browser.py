"""A study's section in a browser that has no network."""

import csv
import io
import re

import pytest

from promptpriors.report import write_report
from tests.report.sample import SCRIPT, build_runs
from tests.report.studying import EFFECTS, FAST, SEEDS, SLOW, build_study

FOREST, CURVES = "#study .plot >> nth=0", "#study .plot >> nth=1"
SHOWN = "plot => plot._fullData.filter(t => t.visible === true && t.mode.includes('markers'))"
NAMES = f"plot => ({SHOWN})(plot).map(t => t.name)"
ENDS = f"plot => ({SHOWN})(plot).map(t => t.y[t.y.length - 1])"
BANDS = "plot => plot._fullData.filter(t => t.visible === true && t.fill === 'toself').length"
RANGE = "plot => [...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]"
LINES = [*EFFECTS, "positive control", "vocabulary, second name"]
MANY = {"vocabulary": 0.0} | {f"arm {i}": 0.02 * i for i in range(11)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(build_study(tmp_path_factory.mktemp("study") / "runs"))


@pytest.fixture(scope="module")
def opened(visit, report):
    def open_(path=report, **options):
        return visit(path, **{"viewport": {"width": 1400, "height": 1000}, **options})

    return open_


def drawn(page, plot):
    page.locator(plot).scroll_into_view_if_needed()
    page.locator(plot).locator(".js-plotly-plot .main-svg").first.wait_for()
    return page.locator(plot).locator(".js-plotly-plot")


def choose(page, label, value):
    page.locator("#study").get_by_role("combobox", name=label).select_option(value)


def test_a_page_without_a_study_has_no_such_section(visit, tmp_path):
    with visit(write_report(build_runs(tmp_path / "runs"))) as page:
        assert page.locator("#study, .study, .verdict").count() == 0
        assert page.get_by_role("link", name="Study").count() == 0


def test_verdicts_are_words_with_signs_beside_their_questions(opened):
    with opened() as page:
        rows = page.locator(".verdicts tbody tr").all_inner_texts()
        first = [" ".join(row.split()) for row in rows]
        assert first[0].startswith("✓ passed positive control")
        assert first[2].startswith("✓ yes does the task decide anything?")
        assert first[3].startswith("✓ yes isotropic higher")
        assert first[4].startswith("✕ no are all priors equal?")
        assert SCRIPT in rows[3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_verdicts_can_be_read_on_their_ground(opened, scheme):
    with opened(color_scheme=scheme) as page:
        contrast = page.evaluate(CONTRAST)
        assert len(contrast) > 10
        assert min(contrast) >= 4.5


def test_a_failed_control_is_seen(visit, tmp_path):
    with visit(write_report(build_study(tmp_path / "runs", failing=True))) as page:
        assert page.locator(".verdicts tr.none").count() == 3
        assert "∅ none\nthe positive control failed" in page.locator(".verdicts").inner_text()
        figure = drawn(page, FOREST)
        labels = figure.locator(".annotation-text").all_text_contents()
        assert labels.count("∅ none") == 5


def test_the_forest_names_its_reference_its_arms_and_their_verdicts(opened):
    with opened() as page:
        labels = drawn(page, FOREST).locator(".annotation-text").all_text_contents()
        for text in ("vocabulary", "gaussian", "isotropic", "positive control", "controls"):
            assert text in labels
        for text in ("↑ higher", "≈ equal"):
            assert text in labels
        assert any(re.fullmatch(r"\+0\.2\d+ \(\+0\.\d+ to \+0\.\d+\)", text) for text in labels)


def test_the_selector_changes_the_curves(opened):
    with opened() as page:
        figure = drawn(page, CURVES)
        best = figure.evaluate(ENDS)
        assert len(best) == len(LINES)
        assert figure.evaluate(BANDS) == len(LINES)
        assert all(SLOW in name for name in figure.evaluate(NAMES)[:4])
        choose(page, "Rate", FAST)
        fast = figure.evaluate(ENDS)
        assert len(fast) == len(LINES)
        assert [a > b for a, b in zip(fast, best, strict=True)] == [True] * 4 + [False, True]
        assert fast[4] == best[4]  # the control has one rate
        assert all(FAST in name for name in figure.evaluate(NAMES)[:4])
        choose(page, "Rate", "best")
        assert figure.evaluate(ENDS) == best


def test_the_second_half_is_framed_by_the_arms_in_it(opened):
    with opened() as page:
        figure = drawn(page, CURVES)
        whole = figure.evaluate(RANGE)
        choose(page, "Steps", "end")
        first, last, low, high = figure.evaluate(RANGE)
        assert (first, last) == (20, 40)
        ends = figure.evaluate(ENDS)
        arms = ends[:4]
        assert low < min(arms)
        assert max(arms) < high < ends[4]  # the control is far away
        choose(page, "Steps", "all")
        assert figure.evaluate(RANGE) == pytest.approx(whole)


def test_a_chip_hides_its_arm_in_both_figures_whatever_rate_is_chosen(opened):
    with opened() as page:
        forest, curves = drawn(page, FOREST), drawn(page, CURVES)
        chip = page.locator("#study .chip", has_text="isotropic")
        chip.focus()
        page.keyboard.press("Space")
        for figure in (forest, curves):
            assert not any("isotropic" in name for name in figure.evaluate(NAMES))
        choose(page, "Rate", FAST)
        assert not any("isotropic" in name for name in curves.evaluate(NAMES))
        chip.click()
        assert [n for n in curves.evaluate(NAMES) if "isotropic" in n] == [
            f"isotropic, {FAST}, {SEEDS} runs"
        ]


def test_of_many_arms_all_are_hidden_at_once_and_one_is_shown_again(visit, tmp_path):
    with visit(write_report(build_study(tmp_path / "runs", MANY))) as page:
        curves = drawn(page, CURVES)
        button = page.get_by_role("button", name="none", exact=True)
        button.click()
        assert curves.evaluate(NAMES) == []
        page.locator("#study .chip", has_text="arm 7").click()
        assert [name.partition(",")[0] for name in curves.evaluate(NAMES)] == ["arm 7"]
        page.get_by_role("button", name="all", exact=True).click()
        assert len(curves.evaluate(NAMES)) == len(MANY) + 2


def test_the_csv_of_the_curves_has_what_is_shown(opened):
    with opened() as page:
        drawn(page, CURVES)
        group = page.get_by_role("group", name="Download: Validation loss against").first
        with page.expect_download() as found:
            group.get_by_role("button", name="CSV").click()
        rows = list(csv.reader(io.StringIO(found.value.path().read_text(), newline="")))
        mine = [row for row in rows if row[0] == f"gaussian, {SLOW}, {SEEDS} runs"]
        assert [row[1] for row in mine] == ["0", "10", "20", "30", "40"]
        assert all(" to " in row[3] for row in mine)
        assert not any("95 %" in row[0] for row in rows)


def test_a_lost_runs_link_opens_its_settings(opened):
    with opened() as page:
        page.get_by_text("2 runs in no curve and no line").click()
        page.locator(".lost a").click()
        page.locator("details.run[open]").wait_for(state="attached")
        assert page.locator("details.run[open]").count() == 1


def test_a_narrow_window_has_verdicts_in_sight_and_does_not_scroll_sideways(opened):
    with opened(viewport={"width": 420, "height": 900}) as page:
        drawn(page, FOREST)
        drawn(page, CURVES)
        assert page.evaluate("document.documentElement.scrollWidth") == 420
        for cell in page.locator(".verdicts tbody tr > *").all():
            box = cell.bounding_box()
            assert box is None or box["x"] + box["width"] <= 420


CONTRAST = """() => {
  const channels = text => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map(value => value / 255);
  };
  const light = rgb => rgb.slice(0, 3)
    .map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (channels(colour)[3] === 1) return colour;
    }
  };
  return [...document.querySelectorAll("#study .verdict")].map(node => {
    const pair = [getComputedStyle(node).color, ground(node)].map(channels).map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
}"""
