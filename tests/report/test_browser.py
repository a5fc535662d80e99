"""The page in a browser that has no network."""

import pytest

from promptpriors.report import write_report
from tests.report.sample import SCRIPT, build_runs

LOSS, MAP = ".group >> nth=0 >> .plot >> nth=0", ".group >> nth=0 >> .plot >> nth=1"
POINT = """plot => {
  const { xaxis, yaxis } = plot._fullLayout, trace = plot._fullData[0];
  const { x, y } = plot.getBoundingClientRect();
  return [x + xaxis._offset + xaxis.l2p(trace.x[0]), y + yaxis._offset + yaxis.l2p(trace.y[0])];
}"""


@pytest.fixture(scope="module")
def report(folder):
    return write_report(folder)


@pytest.fixture(scope="module")
def opened(visit, report):
    return lambda path=report, **options: visit(path, **options)


def drawn(page, plot):
    """Scroll to a figure and wait until it stands."""
    page.locator(plot).scroll_into_view_if_needed()
    figure = page.locator(plot).locator(".js-plotly-plot .main-svg").first
    figure.wait_for()
    return page.locator(plot).locator(".js-plotly-plot")


def column(page, index):
    return page.locator(f"#table tbody tr > :nth-child({index})").all_inner_texts()


def titles(page):
    return page.locator("#table thead th").all_inner_texts()


def test_every_figure_is_drawn(opened):
    with opened() as page:
        for i in range(page.locator(".plot").count()):
            drawn(page, f".plot >> nth={i}")
        assert page.locator(".js-plotly-plot").count() == 6


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(opened):
    with opened() as page:
        index = titles(page).index("Loss at start") + 1
        heading = page.get_by_role("button", name="Loss at start")
        heading.click()
        values = [float(v) for v in column(page, index)[:6]]
        assert values == sorted(values)
        heading.click()
        values = [float(v) for v in column(page, index)[:6]]
        assert values == sorted(values, reverse=True)
        assert all("xavier" in name for name in column(page, 1)[6:])
        header = page.get_by_role("columnheader", name="Loss at start")
        assert header.get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts(opened):
    with opened() as page:
        page.get_by_role("button", name="Run", exact=True).focus()
        page.keyboard.press("Enter")
        assert column(page, 1)[0] == "gaussian · seed 0"
        page.keyboard.press("Space")
        assert column(page, 1)[0] == "xavier · seed 1"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.locator("[aria-sort]").all_inner_texts() == ["Task"]


def test_missing_numbers_stay_last_in_both_directions(opened):
    with opened() as page:
        heading = page.get_by_role("button", name="Displacement")
        for _ in range(2):
            heading.click()
            assert {"no prompt · seed 0", "xavier · seed 0", "xavier · seed 1"} == set(
                column(page, 1)[-3:]
            )


def test_a_chip_hides_its_prior_in_every_figure_of_its_group(opened):
    with opened(viewport={"width": 1000, "height": 100}) as page:
        visible = "plot => plot._fullData.filter(t => t.visible === true).map(t => t.legendgroup)"
        chip = page.locator(".chip", has_text="gaussian").first
        chip.focus()
        page.locator(LOSS).locator(".js-plotly-plot").wait_for()
        figures = [page.locator(LOSS).locator(".js-plotly-plot")]
        page.keyboard.press("Space")
        assert chip.get_attribute("aria-pressed") == "false"
        assert page.locator(MAP).locator(".js-plotly-plot").count() == 0
        figures.append(drawn(page, MAP))
        for figure in figures:
            shown = figure.evaluate(visible)
            assert "gaussian" not in shown
            assert "isotropic" in shown
        chip.click()
        assert "gaussian" in figures[0].evaluate(visible)


def test_a_hovered_point_names_its_token_as_text(opened):
    with opened() as page:
        figure = drawn(page, MAP)
        figure.evaluate("plot => Plotly.relayout(plot, {'hoverdistance': 40})")
        page.locator(MAP).evaluate("plot => plot.scrollIntoView({block: 'center'})")
        for chip in page.locator(".group >> nth=0 >> .chip").all():
            chip.click()
        x, y = figure.evaluate(POINT)
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y)
        hover = figure.locator(".hovertext")
        hover.wait_for()
        assert SCRIPT.replace(" ", "␣") in hover.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_and_figures_take_the_colours_of_the_system(opened, scheme):
    with opened(color_scheme=scheme) as page:
        figure = drawn(page, LOSS)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(252, 251, 249)", "dark": "rgb(21, 23, 27)"}[scheme]
        soft = {"light": "#5b5e66", "dark": "#a3a6ae"}[scheme]
        assert figure.evaluate("plot => plot._fullLayout.font.color") == soft


def test_figures_follow_when_the_system_changes_its_colours(opened):
    with opened(color_scheme="light") as page:
        drawn(page, LOSS)
        page.emulate_media(color_scheme="dark")
        colour = drawn(page, LOSS).evaluate("plot => plot._fullLayout.font.color")
        assert colour == "#a3a6ae"


def test_a_link_to_a_run_opens_its_settings(opened):
    with opened() as page:
        page.locator("#table tbody a").first.click()
        settings = page.locator("details.run[open]")
        assert settings.count() == 1
        assert settings.locator("pre").inner_text().startswith('model = "smollm2"')


def test_no_button_offers_to_send_data_away(opened):
    with opened() as page:
        figure = drawn(page, LOSS)
        names = figure.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
        assert names
        assert not any("hare" in str(name) or "loud" in str(name) for name in names)
        assert figure.evaluate("plot => plot._context.plotlyServerURL") == ""


def test_a_narrow_window_scrolls_its_tables_and_not_the_page(opened):
    with opened(viewport={"width": 360, "height": 800}) as page:
        drawn(page, MAP)
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_fifty_thousand_points_are_drawn(opened, tmp_path):
    report = write_report(build_runs(tmp_path / "runs", vocabulary=50_000, dim=8, length=20))
    with opened(report) as page:
        figure = drawn(page, MAP)
        assert figure.evaluate("plot => plot._fullData[0].x.length") == 50_000
        assert figure.evaluate("plot => plot._fullData[0].type") == "scattergl"
        assert figure.locator(".gl-canvas").count() > 0
