"""The studies of a runs folder, as far as they can be shown."""

from pathlib import Path

from promptpriors.errors import InputError
from promptpriors.runs.studies import StudyRecord, read_study_record, study_paths

CONTROLS = ("positive", "negative")
BESIDE = ("baseline", "ceiling")
"""Kinds of runs that are no arms but lines across."""


def read_studies(folder: Path) -> tuple[list[StudyRecord], list[str]]:
    """The studies of a runs folder by name, and what is wrong with those that can't be shown."""
    found: dict[str, StudyRecord] = {}
    problems = []
    for path in study_paths(folder):
        try:
            study = read_study_record(path)
            if study.name in found:
                raise InputError(f"{path}: another study is called {study.name!r} too")
        except InputError as error:
            problems.append(f"A study can’t be shown: {error}")
        else:
            found[study.name] = study
    return list(found.values()), problems
