"""The page as text: what is in it, what is not, and what it may do."""

import json
import re
from html.parser import HTMLParser

import pytest

from promptpriors.errors import InputError
from promptpriors.figures import run_styles
from promptpriors.report import build, write_report
from promptpriors.report.page import _headline
from promptpriors.runs import list_runs
from tests.report.sample import SCRIPT, build_runs, config, start


class Reader(HTMLParser):
    """Addresses, ids, scripts, and the text of table rows."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.ids, self.rows, self.data, self.code = [], [], [], [], 0
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [attrs[k] for k in ("src", "href", "action", "data") if k in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.inside = attrs.get("type", "code") if tag == "script" else ""
        self.code += self.inside == "code"
        if tag == "tr":
            self.rows.append("")

    def handle_endtag(self, tag):
        self.inside = "" if tag == "script" else self.inside

    def handle_data(self, data):
        if self.inside == "application/json":
            self.data.append(json.loads(data, parse_constant=pytest.fail))
        elif not self.inside and self.rows:
            self.rows[-1] += data


@pytest.fixture(scope="module")
def page(folder):
    return build(folder)


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def row_of(read, name):
    return next(row for row in read.rows if name in row)


def test_nothing_is_fetched(page, read):
    assert all(address.startswith("#") or address == "data:," for address in read.addresses)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "http" not in policy


def test_every_link_leads_somewhere(read):
    assert {address[1:] for address in read.addresses if address[0] == "#"} <= set(read.ids)
    assert len(set(read.ids)) == len(read.ids)


def test_text_of_others_is_text(page, read):
    assert SCRIPT not in page
    assert read.code == 2
    assert SCRIPT in row_of(read, "xavier · seed 0")
    assert any(SCRIPT.replace(" ", "␣") in row for row in read.rows)


def test_data_are_json_without_a_bare_angle_bracket_or_line_separator(page, read):
    blocks = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    assert len(blocks) == len(read.data) == 7
    assert not any(c in block for block in blocks for c in "<>&\u2028\u2029")


def test_every_run_is_in_the_table_with_its_status(read, folder):
    runs = list_runs(folder)
    names = run_styles(runs).names
    first = read.rows[1 : 1 + len(runs)]
    for run, row in zip(runs, first, strict=True):
        assert names[run.id] in row
        assert run.status in row
    assert "–" in row_of(read, "xavier · seed 1")


def test_failed_and_unfinished_runs_are_in_no_figure(read):
    assert "xavier" not in json.dumps(read.data)


def test_missing_values_are_en_dashes(read):
    cells = row_of(read, "no prompt · seed 0").split("\n")
    assert "–" in cells
    assert "None" not in " ".join(read.rows)
    assert "nan" not in " ".join(read.rows)


def test_numbers_of_the_table_are_those_of_the_results(read, folder):
    run = next(r for r in list_runs(folder) if r.config["prior"]["name"] == "isotropic")
    row = row_of(read, "isotropic · seed 0")
    for key in ("val_loss_initial", "val_loss", "val_loss_best", "val_loss_none"):
        assert f"{run.result[key]:.3f}" in row
    assert f"{run.result['displacement']:#.3g}" in row
    assert "1 min 15 s" in row


def test_the_model_is_named_with_what_must_be_known_about_it(page):
    assert "dequantised from 4-bit (Q4_1) weights, instruction-tuned" in page
    assert "numbers from it mean nothing" in page


def test_each_model_and_task_has_its_own_section(read):
    assert {"group-1", "group-2"} <= set(read.ids)
    assert "group-3" not in read.ids


def test_groups_that_share_a_name_are_told_apart_by_their_parameters(tmp_path):
    build_runs(tmp_path)
    path = tmp_path / f"{1:016x}" / "config.toml"
    path.write_text(path.read_text().replace("train = 64", "train = 128"))
    assert "mathematics (modules=[&#39;add_or_sub&#39;], train=128)" in build(tmp_path)


def test_every_config_is_shown_as_it_was_written(page, folder):
    assert page.count("<code>model = &#34;smollm2&#34;") == 7
    assert page.count("[train.lr]\nrelative = 0.1") == len(list_runs(folder))


def test_the_same_folder_gives_the_same_page(page, folder):
    assert build(folder) == page


@pytest.mark.slow
def test_a_map_of_50000_points_fits_into_8_megabytes(tmp_path):
    out = write_report(build_runs(tmp_path / "runs", vocabulary=50_000, dim=8, length=20))
    assert out == tmp_path / "runs" / "report.html"
    assert out.stat().st_size < 8e6


def test_two_groups_share_the_points_of_one_map(tmp_path):
    build_runs(tmp_path)
    path = tmp_path / f"{1:016x}" / "config.toml"
    path.write_text(path.read_text().replace("mathematics", "squad"))
    data = Reader(build(tmp_path)).data
    clouds = [block for block in data if "text" in block]
    users = [trace for block in data for trace in block.get("data", []) if "meta" in trace]
    assert len(clouds) == 1
    assert [trace["meta"]["cloud"] for trace in users] == [0, 0]
    assert not any("text" in trace for trace in users)


def test_a_lost_map_is_said_and_the_rest_is_shown(tmp_path):
    build_runs(tmp_path)
    (tmp_path / "maps" / "smollm2.safetensors").unlink()
    page = build(tmp_path)
    assert "No map can be shown" in page
    assert "smollm2.safetensors: no such file" in page
    assert "Nearest tokens" in page


def test_a_folder_of_unfinished_runs_has_a_table_and_no_figures(tmp_path):
    start(tmp_path, "a", config("gaussian"))
    page = build(tmp_path)
    assert "1 run: 1 unfinished." in page
    assert '<div class="plot"' not in page


def test_no_runs_is_an_error_that_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"holds no runs; `promptpriors run CONFIG\.toml --runs"):
        build(tmp_path)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "gone")


def test_an_unwritten_report_leaves_the_old_one(tmp_path):
    out = tmp_path / "page.html"
    out.write_text("old")
    with pytest.raises(InputError):
        write_report(tmp_path, out)
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("Traceback (most recent call last):\n  File\nValueError: no", "ValueError: no"),
        ("error: no\nremedy", "error: no"),
        ("", ""),
    ],
)
def test_the_headline_of_an_error_says_most(error, line):
    assert _headline(error) == line
