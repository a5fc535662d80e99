"""The explorer, claims and comparisons in a browser that has no network."""

import csv
import io
import json
import re

import pytest

from promptpriors.report import write_report
from promptpriors.runs import list_charts, list_runs, read_chart
from tests.report.exploring import DOMAINS, build_all
from tests.report.sample import SCRIPT

MARKS = "map => map._fullData.slice(4).map(t => [[...t.x], [...t.y]])"
GROUND = "map => map._fullData.slice(0, 4).map(t => [[...t.x], [...t.y]])"
RANGES = "map => [map._fullLayout.xaxis.range, map._fullLayout.yaxis.range]"
PIXEL = """(map, [trace, point]) => {
  const { xaxis, yaxis } = map._fullLayout, { x, y } = map._fullData[trace];
  const box = map.getBoundingClientRect();
  return [box.x + xaxis._offset + xaxis.l2p(x[point]), box.y + yaxis._offset + yaxis.l2p(y[point])];
}"""
HOVERED = """text =>
  document.querySelector("#explore-map .hovertext")?.textContent.includes(text)"""
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
DRAGGED = """() => new Promise(done => {
  const slider = document.getElementById("explore-moment"), restyle = Plotly.restyle, seen = [];
  Plotly.restyle = (map, change, traces) => (seen.push(traces), restyle(map, change, traces));
  for (const value of [0, 1, 2, 3]) {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  }
  requestAnimationFrame(() => requestAnimationFrame(() => done(seen)));
})"""
START, NOW = 5, 6
"""Traces of the first prior: its starts and its marks at the step shown."""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return build_all(tmp_path_factory.mktemp("full") / "runs")


@pytest.fixture(scope="module")
def report(full):
    return write_report(full)


@pytest.fixture
def opened(visit, report):
    def open_(**options):
        return visit(report, **{"viewport": {"width": 1280, "height": 1000}, **options})

    return open_


def map_of(page):
    page.wait_for_function("performance.getEntriesByName('drawn').length > 0")
    return page.locator("#explore-map")


def marks(page):
    """Coordinates of every prompt trace once pending frames have been drawn."""
    page.evaluate(SETTLED)
    return map_of(page).evaluate(MARKS)


SAID = """
window.heard = [];
new MutationObserver(() => heard.push(document.querySelector("#explore-said").innerText)).observe(
  document.querySelector("#explore-said"), {childList: true, characterData: true, subtree: true});
"""
"""Every text of the line beneath the map from now on, however slow the machine is."""


def said(page):
    return page.locator("#explore-said").inner_text()


def vectors(page):
    return page.locator("#explore-table tbody tr:not([hidden])")


def save(page, format_, what):
    """The button that hands something over in a format."""
    group = page.get_by_role("group", name=f"Download: {what}").first
    return group.get_by_role("button", name=format_)


def saved(page, button):
    """The bytes and the name of what a button, reached by the keyboard, hands over."""
    with page.expect_download() as found:
        button.focus()
        page.keyboard.press("Enter")
    return found.value.path().read_bytes(), found.value.suggested_filename


def table_of(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def test_the_slider_moves_the_prompts_and_nothing_else(opened, full):
    charted = read_chart(list_charts(full)[0]).prompts
    losses = [run.result["val_loss"] for run in list_runs(full) if run.id in charted]
    with opened() as page:
        drawn = map_of(page)
        end, ground, ranges = marks(page), drawn.evaluate(GROUND), drawn.evaluate(RANGES)
        span = f"{min(losses):.3f} to {max(losses):.3f} in 4 runs"
        assert said(page) == f"step 40 of 40 · validation loss {span}"
        page.locator("#explore-moment").focus()
        page.keyboard.press("Home")
        assert said(page).startswith("step 0 of 40")
        start = marks(page)
        assert start[NOW - 4] != end[NOW - 4]
        assert start[NOW - 4] == start[START - 4] == end[START - 4]
        page.keyboard.press("ArrowRight")
        assert said(page).startswith("step 10 of 40")
        assert marks(page)[NOW - 4] != start[NOW - 4]
        assert drawn.evaluate(GROUND) == ground
        assert drawn.evaluate(RANGES) == ranges


def test_the_marks_lie_where_the_chart_has_them(opened, full):
    chart = read_chart(list_charts(full)[0])
    first = next(r for r in list_runs(full) if r.config["prior"]["name"] == "gaussian")
    way = chart.prompts[first.id]["pca"]
    with opened() as page:
        page.locator("#explore-moment").focus()
        for k, key in ((len(way) - 1, "End"), (0, "Home"), (1, "ArrowRight")):
            page.keyboard.press(key)
            x, y = marks(page)[NOW - 4]
            assert x[:4] == pytest.approx(way[k, :, 0].tolist(), abs=1e-6)
            assert y[:4] == pytest.approx(way[k, :, 1].tolist(), abs=1e-6)


def test_points_lie_where_the_chart_has_them_to_half_a_level(opened, full):
    points = read_chart(list_charts(full)[0]).layouts["pca"]
    level = ((points.amax(0) - points.amin(0)) / 65_535).tolist()
    with opened() as page:
        traces = map_of(page).evaluate(GROUND)
    for axis in (0, 1):
        found = [value for trace in traces for value in trace[axis]]
        assert found == pytest.approx(points[:, axis].tolist(), abs=0.51 * level[axis] + 1e-6)


def test_play_runs_from_the_start_to_the_end_and_stops(opened):
    with opened() as page:
        map_of(page)
        page.evaluate(SAID)
        page.get_by_role("button", name="Play the training").press("Enter")
        page.wait_for_function("heard.at(-1)?.startsWith('step 40 of 40')")
        page.get_by_role("button", name="Play the training").wait_for()
        steps = [int(text.split()[1]) for text in page.evaluate("heard")]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (0, 40)
        assert len(set(steps)) > 2


def test_pause_holds_the_moment(opened):
    with opened() as page:
        map_of(page)
        play = page.locator("#explore-play")
        play.press("Space")
        play.press("Space")
        held = said(page)
        page.wait_for_timeout(600)
        assert said(page) == held
        assert held != "step 40 of 40"


def test_a_check_box_hides_its_domain_alone(opened):
    shown = "map => map._fullData.slice(0, 4).map(t => t.visible === true)"
    with opened() as page:
        drawn = map_of(page)
        assert page.locator("#explore-domains label").all_inner_texts() == DOMAINS
        page.get_by_role("checkbox", name="C4").focus()
        page.keyboard.press("Space")
        assert drawn.evaluate(shown) == [True, False, True, True]
        page.get_by_role("checkbox", name="C4").check()
        assert all(drawn.evaluate(shown))


def test_a_chip_takes_its_prior_off_the_map_and_out_of_the_table(opened):
    with opened() as page:
        before = marks(page)
        assert vectors(page).count() == 16
        page.locator("#explorer .chip", has_text="gaussian").first.press("Enter")
        after = marks(page)
        assert [len(x) for x, _ in after[:3]] == [0, 0, 0]
        assert after[3:] == before[3:]
        assert vectors(page).count() == 8
        assert "in 2 runs" in said(page)
        page.get_by_text("Single runs").click()
        page.locator("#explorer .chip", has_text="isotropic · seed 0").click()
        assert vectors(page).count() == 4
        assert said(page).endswith("text · seed 0")


def test_without_any_run_the_label_says_so(opened):
    with opened() as page:
        map_of(page)
        for chip in page.locator("#explorer .chip[data-prior]").all():
            chip.click()
        assert said(page).endswith("no run is shown")
        assert vectors(page).count() == 0


def test_a_projection_has_its_own_ranges_and_keeps_the_step(opened):
    with opened() as page:
        drawn = map_of(page)
        page.locator("#explore-moment").press("Home")
        pca = drawn.evaluate(RANGES)
        assert "first principal direction" in drawn.inner_text()
        page.get_by_label("Projection").select_option("t-SNE")
        assert drawn.evaluate(RANGES) != pca
        assert "distances between them and directions mean nothing" in page.inner_text("#explorer")
        assert said(page).startswith("step 0")
        page.get_by_label("Projection").select_option("PCA")
        assert drawn.evaluate(RANGES) == pca


def test_the_frame_may_leave_out_prompts_that_lie_far_away(opened):
    with opened() as page:
        drawn = map_of(page)
        page.get_by_label("Chart").select_option("SmolLM2, block.1")
        (left, right), _ = drawn.evaluate(RANGES)
        page.get_by_label("Frame").select_option("The points")
        (nearer, near), _ = drawn.evaluate(RANGES)
        assert near - nearer < 0.8 * (right - left)


def test_another_chart_brings_its_own_points_and_prompts(opened):
    with opened() as page:
        ground = map_of(page).evaluate(GROUND)
        page.get_by_label("Chart").select_option("SmolLM2, block.1")
        assert map_of(page).evaluate(GROUND) != ground
        assert vectors(page).count() == 8
        assert "points at block.1" in page.locator("#explore-caption").inner_text()
        assert page.locator("#explorer .chip", has_text="isotropic").first.is_disabled()


def test_the_table_has_the_stored_numbers(opened, full):
    run = next(r for r in list_runs(full) if r.config["prior"]["name"] == "isotropic")
    way = run.tensors()["trajectory/embed"]
    with opened() as page:
        map_of(page)
        page.locator("#explore-moment").press("Home")
        page.locator("#explore-moment").press("ArrowRight")
        row = vectors(page).filter(has_text="isotropic").nth(2)
        cells = row.locator("th, td").all_inner_texts()
    best = run.result["nearest_tokens"]["embed"]
    assert cells[1] == "2"
    assert cells[3] == f"{best['initial'][2][0]['cosine']:.3f}"
    assert cells[5] == f"{best['final'][2][0]['cosine']:.3f}"
    assert cells[6] == "0.64 / 0.78"
    moved = (way[-1] - way[0]).norm(dim=1)[2] / way[0].norm(dim=1)[2]
    assert float(cells[7]) == pytest.approx(float(moved), rel=5e-3)
    assert float(cells[8]) == pytest.approx(float((way[1] - way[0]).norm(dim=1)[2]), rel=5e-3)


def test_a_row_chooses_its_mark_and_lets_it_go(opened, full):
    loss = list_runs(full)[0].result["val_loss"]
    with opened() as page:
        before = marks(page)
        button = vectors(page).nth(3).get_by_role("button")
        button.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        after = marks(page)
        assert after[-1] == [[after[2][0][3]], [after[2][1][3]]]
        assert len(after[-2][0]) == 5
        assert said(page).endswith(f"validation loss {loss:.3f}, gaussian · seed 0")
        button.press("Enter")
        assert marks(page) == before


def test_a_click_on_a_mark_chooses_its_row(opened):
    with opened() as page:
        drawn = map_of(page)
        for box in page.locator("#explore-domains input").all():
            box.uncheck()
        drawn.scroll_into_view_if_needed()
        x, y = drawn.evaluate(PIXEL, [9, 2])
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        hover = drawn.locator(".hovertext")
        hover.wait_for()
        assert "isotropic · seed 0" in hover.text_content()
        assert "vector 2, step 40" in hover.text_content()
        assert "null: Gaussian draws 0.64, real rows 0.78" in hover.text_content()
        row = page.locator("#explore-table tr.chosen")
        for _ in range(3):  # on a busy machine the plot may not have heard of the pointer yet
            page.mouse.click(x, y, delay=100)
            page.wait_for_timeout(1000)
            if row.count():
                break
        assert row.locator("th, td").all_inner_texts()[:2] == ["isotropic · seed 0", "2"]


def test_a_hovered_point_is_named_as_text(opened):
    with opened() as page:
        drawn = map_of(page)
        for chip in page.locator("#explorer .chip[data-prior]").all():
            chip.click()
        drawn.scroll_into_view_if_needed()
        for point, shown in ((0, SCRIPT.replace(" ", "␣")), (1, "<b>bold</b>")):
            x, y = drawn.evaluate(PIXEL, [0, point])
            page.mouse.move(x - 2, y)
            page.mouse.move(x, y)
            page.wait_for_function(
                HOVERED,
                arg=f"“{shown}”",
            )
        assert drawn.locator(".hovertext b, .hovertext script").count() == 0


def test_columns_of_the_explorer_sort(opened):
    with opened() as page:
        map_of(page)
        page.locator("#explore-table").get_by_role("button", name="Displacement").click()
        found = [float(v) for v in page.locator("#explore-table td:nth-child(8)").all_inner_texts()]
        assert found == sorted(found)
        assert len(set(found)) > 1


@pytest.mark.parametrize(("format_", "head"), [("PNG", b"\x89PNG"), ("SVG", b"<svg")])
def test_map_and_figures_are_saved_as_images(opened, format_, head):
    with opened() as page:
        map_of(page)
        for what in ("the map as shown", "Validation loss against"):
            button = save(page, format_, what)
            data, name = saved(page, button)
            assert data.startswith(head)
            assert name.endswith(f".{format_.lower()}")
            assert len(data) > 5_000


def test_the_map_is_saved_as_csv_with_every_point_and_moment(opened, full):
    with opened() as page:
        map_of(page)
        page.get_by_role("checkbox", name="arithmetic").uncheck()
        data, name = saved(page, save(page, "CSV", "the map"))
    head, *rows = table_of(data)
    assert name == "the-map-as-shown.csv"
    assert head == ["kind", "name", "number", "token", "step", "x", "y"]
    points = [row for row in rows if row[0] == "point"]
    assert len(points) == 300
    assert points[0][1:4] == ["vocabulary", "0", SCRIPT.replace(" ", "␣")]
    assert len(rows) - len(points) == 4 * 4 * 5


def test_a_figure_is_saved_as_csv(opened, full):
    run = next(r for r in list_runs(full) if r.config["prior"]["name"] == "isotropic")
    with opened() as page:
        button = save(page, "CSV", "Validation loss")
        rows = table_of(saved(page, button)[0])
    losses = [float(row[2]) for row in rows if row[0] == "isotropic · seed 0"]
    assert losses == [record["val_loss"] for record in run.metrics() if record["val_loss"]]


def test_a_comparison_is_saved_whole_and_quoted(opened):
    with opened() as page:
        button = save(page, "CSV", "Priors on the same task")
        data, name = saved(page, button)
    assert name == "priors.csv"
    assert b'"text, ""few-shot""",2.5,,3\r\n' in data
    assert table_of(data)[1] == ["gaussian", "1.23456789", "0.5", "3"]
    assert table_of(data)[3][0] == SCRIPT


def test_comparisons_sort_by_number_with_gaps_last(opened):
    with opened() as page:
        table = page.locator("table[data-name=priors]")
        table.get_by_role("button", name="Loss").click()
        table.get_by_role("button", name="Loss").press("Enter")
        assert table.locator("td:nth-child(2)").all_inner_texts() == ["10.00", "2.500", "1.235"]
        for _ in range(2):
            table.locator("thead button").nth(2).click()
            assert table.locator("td:nth-child(3)").all_inner_texts()[2] == "–"


def test_figures_of_claims_are_images_with_a_text(opened):
    with opened() as page:
        images = page.locator("#claims img")
        for image in images.all():
            image.scroll_into_view_if_needed()
        page.wait_for_function(
            "[...document.querySelectorAll('#claims img')].every(i => i.naturalWidth === 64)"
        )
        texts = images.evaluate_all("all => all.map(i => i.alt)")
        assert texts[0] == "Figure 6: Domains at the last block"
        assert texts[1] == f"Figure 7: Dips {SCRIPT}"


def luminance(colour):
    parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_schemes(opened, scheme):
    ground = """e => {
      for (; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
      }
    }"""
    with opened(color_scheme=scheme) as page:
        assert (
            map_of(page).evaluate("m => m._fullLayout.font.color")
            == ({"light": "#5b5e66", "dark": "#a3a6ae"}[scheme])
        )
        for one in ("#explore-said", "#explore-caption", "#explore-chart", ".verdict.confirmed",
                    ".verdict.refuted", ".verdict.undecided", ".verdict.not-testable",
                    ".save button", "#explore-table td", ".picture h4"):  # fmt: skip
            element = page.locator(one).first
            text = luminance(element.evaluate("e => getComputedStyle(e).color"))
            below = luminance(element.evaluate(ground))
            light, dark = max(text, below), min(text, below)
            assert (light + 0.05) / (dark + 0.05) > 4.5, one


def test_the_map_follows_when_the_system_changes_its_colours(opened):
    with opened(color_scheme="light") as page:
        drawn = map_of(page)
        page.locator("#explore-moment").press("Home")
        before = marks(page)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(
            "document.getElementById('explore-map')._fullLayout.font.color === '#a3a6ae'"
        )
        assert drawn.evaluate("m => m._fullData[6].marker.line.color") == "rgb(21, 23, 27)"
        assert marks(page) == before


def test_every_control_is_reached_by_the_tab_key(opened):
    with opened() as page:
        map_of(page)
        page.get_by_label("Chart").focus()
        seen = []
        for _ in range(30):
            seen.append(
                page.evaluate("document.activeElement.id || document.activeElement.innerText")
            )
            page.keyboard.press("Tab")
        order = ["explore-chart", "explore-layout", "explore-frame", "gaussian", "isotropic",
                 "explore-play", "explore-moment", "PNG", "SVG", "CSV"]  # fmt: skip
        places = [seen.index(name) for name in order]
        assert places == sorted(places)


def test_a_narrow_window_does_not_scroll_sideways(opened):
    with opened(viewport={"width": 360, "height": 800}) as page:
        map_of(page)
        for name in ("#explore-table", "#claims", "#compare"):
            page.locator(name).scroll_into_view_if_needed()
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_nothing_shifts_while_the_prompts_move(opened):
    places = """() => ['explore-map', 'explore-caption', 'explore-table', 'claims']
      .map(id => document.getElementById(id).getBoundingClientRect().top + scrollY)"""
    with opened() as page:
        map_of(page)
        page.evaluate("scrollTo(0, 0)")
        before = page.evaluate(places)
        page.locator("#explore-moment").evaluate("s => s.focus({ preventScroll: true })")
        for key in ("Home", "ArrowRight", "End"):
            page.keyboard.press(key)
            assert page.evaluate(places) == before


def test_among_fifty_thousand_points_the_prompts_alone_are_drawn_anew_once_a_frame(visit, tmp_path):
    report = write_report(build_all(tmp_path / "runs", points=50_000, charts=1))
    with visit(report) as page:
        drawn = map_of(page)
        assert sum(len(x) for x, _ in drawn.evaluate(GROUND)) == 50_000
        changed = page.evaluate(DRAGGED)
        assert json.dumps(changed) == json.dumps([list(range(4, 15))])
