"""How much of its start a prompt keeps while it is trained, step by step, over a study's arms.

    python scripts/decay.py RUNS STUDY DATA OUT

Needs the runs' vectors (prompt.safetensors), so it runs where they were trained. Of each arm and
stored step it takes the cosine of the vectors and their start about the prior's mean, averaged over
vectors and sites, with the interval over seeds; OUT.png shows it, OUT.json has the numbers.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean

from study_figures import bands, save

from promptpriors.analysis.location import kept
from promptpriors.analysis.plateau import mean_curve
from promptpriors.config.run import parse_config
from promptpriors.errors import InputError
from promptpriors.figures.styles import arm_styles, run_styles
from promptpriors.measure.position import ReferencePoints, centre
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, read_run
from promptpriors.runs.labels import prior_of
from promptpriors.verdicts.outcomes import read_settings

AXIS = "cosine of vectors and their start"


def main(folder: Path, study: str, data: Path, out: Path) -> None:
    places = ReferencePoints(folder, Workspace(data))
    members = dict(members_of(folder, study))
    if not members:
        raise InputError(f"no arm of a study `{study}` with vectors in {folder}; train them first")
    arms: dict[tuple[str, str], list[Mapping[int, float]]] = {}
    priors = {}
    for (arm, rate, _), run in members.items():
        arms.setdefault((arm, rate), []).append(dict(way(run, places)))
        priors[arm] = prior_of(run)
    curves = [c for (arm, rate), found in arms.items() if (c := mean_curve(arm, rate, found))]
    styles = arm_styles(priors, run_styles(list(members.values())), set())
    figure = bands(curves, styles=styles, axis=AXIS)
    for path in save(figure, {"axis": AXIS, "curves": [c._asdict() for c in curves]}, out):
        print(path)


def members_of(folder: Path, study: str) -> Iterator[tuple[tuple[str, str, str], Run]]:
    """The study's trained arms of which the vectors are there, by arm, rate and id."""
    for setting in read_settings(folder):
        for arm, found in setting.by_arm("arm").items():
            for plan in (run.plan for run in found):
                if setting.study == study and (folder / plan.id / "prompt.safetensors").is_file():
                    yield (arm, plan.rate, plan.id), read_run(folder / plan.id)


def way(run: Run, places: ReferencePoints) -> Iterator[tuple[int, float]]:
    """Of each stored step what is left of the start, the mean over sites."""
    tensors, config = run.tensors(), parse_config(run.config)
    sites = config.prompt.sites or []
    centres = {}
    for site in sites:
        prior = places.prior(config, site)
        if prior is None:
            raise InputError(f"run {run.id}: its prior can't be fitted here")
        centres[site] = centre(prior, site)
    for i, step in enumerate(tensors["trajectory/steps"].tolist()):
        left = [
            kept(tensors[f"initial/{s}"], tensors[f"trajectory/{s}"][i], centres[s]) for s in sites
        ]
        yield step, mean(value for value in left if value is not None)


if __name__ == "__main__":
    try:
        found, name, data_, target = sys.argv[1:5]
        main(Path(found), name, Path(data_), Path(target))
    except (InputError, ValueError) as error:
        sys.exit(f"{error}\n{__doc__}")
