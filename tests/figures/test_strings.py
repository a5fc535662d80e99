"""Strings made fit to be read."""

import html
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from promptpriors.figures import escape, visible


@given(st.text())
def test_nothing_invisible_is_left(text):
    shown = visible(text)
    assert shown
    assert all(unicodedata.category(c)[0] not in "CZ" or shown == "(empty)" for c in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_what_can_be_seen_stays_as_it_is(text):
    assert visible(text) == text


@given(st.text())
def test_escaped_text_reads_back_and_opens_no_tag(text):
    assert "<" not in escape(text)
    assert html.unescape(escape(text)) == html.unescape(html.escape(text))
