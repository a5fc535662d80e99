"""Clouds without spread, with twins, of few points or with NaN: refused in words, or finite."""

import math
import warnings

import pytest
import torch

from promptpriors import geometry
from promptpriors.analysis import (
    clusters,
    collapse,
    location,
    memory,
    projection,
    readout,
    separation,
    significance,
    spread,
    trajectories,
    tsne,
    two_sample,
    unimodality,
)
from promptpriors.errors import InputError
from promptpriors.types import Space

BASE = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
HALVES = torch.arange(60) % 2


def changed(row, value):
    cloud = BASE.clone()
    cloud[row, 0] = value
    return cloud


CLOUDS = {
    "constant": torch.full((60, 6), 0.1),
    "zero": torch.zeros(60, 6),
    "twins": torch.cat([BASE[:5], BASE[:1].expand(55, 6)]),
    "on a line": BASE * torch.eye(6)[0],
    "one point": BASE[:1],
    "two points": BASE[:2],
    "no points": BASE[:0],
    "NaN": changed(3, math.nan),
    "infinity": changed(3, -math.inf),
    "huge": BASE * 1e30,
    "tiny": BASE * 1e-30,
}


def stream():
    return torch.Generator().manual_seed(0)


def collapsed(x, cloud):
    draws = torch.randn(2, 20, len(x), 6, generator=stream())
    return collapse.collapse(
        x, x.flip(0) + 1, cloud, redrawn=draws[0], gaussian=draws[1], generator=stream(), draws=20
    )


def apart(x, reference):
    domains = {"a": Space("embed", x), "b": Space("embed", BASE)}
    return separation.separations(
        domains, reference=reference, generator=stream(), permutations=20, blocks=4
    )


def paths(x):
    return [x[i : i + 10] for i in range(0, len(x), 10)]


FUNCTIONS = {
    "silhouette": lambda x: clusters.silhouette(x, HALVES[: len(x)]),
    "hdbscan_agreement": lambda x: clusters.hdbscan_agreement(x, HALVES[: len(x)]),
    "nearest": lambda x: collapse.nearest(BASE[:3], x),
    "nearest by cosine": lambda x: collapse.nearest(x, BASE, metric="cosine"),
    "collapse on a cloud": lambda x: collapsed(BASE[:3], x),
    "collapse of a prompt": lambda x: collapsed(x[:3], BASE),
    "displacement": lambda x: location.displacement({"embed": BASE[: len(x)]}, {"embed": x}),
    "vector_displacements": lambda x: location.vector_displacements(BASE[: len(x)], x),
    "kept": lambda x: location.kept(x, x.flip(0), x.mean(0)),
    "between": lambda x: location.between(x, BASE[0], BASE[1]),
    "between one centre": lambda x: location.between(x, BASE[0], BASE[0]),
    "reach_ratio": lambda x: location.reach_ratio([0.1], BASE[:3] + 1, x),
    "mahalanobis": lambda x: location.mahalanobis(BASE, x.mean(0), geometry.moments(x).covariance),
    "memory": lambda x: memory.memory(x[:, None], BASE[: len(x), None], generator=stream()),
    "read_out": lambda x: readout.read_out(BASE[:2], x, BASE),
    "separations by a domain": lambda x: apart(x, ("a", "a")),
    "separations by a pair": lambda x: apart(x, ("a", "b")),
    "effective_rank": spread.effective_rank,
    "effective_rank by a scale": lambda x: spread.effective_rank(BASE, scale=spread.scale_of(x)),
    "localisation": lambda x: trajectories.localisation(paths(x), {}, generator=stream()),
    "localisation in a pool": lambda x: trajectories.localisation(
        paths(BASE), {"own": x}, generator=stream()
    ),
    "fit_tsne": lambda x: tsne.fit_tsne(x, perplexity=5).coordinates,
    "energy_distance": lambda x: two_sample.energy_distance(x, BASE),
    "permutation_test": lambda x: two_sample.permutation_test(
        x, BASE, generator=stream(), permutations=20
    ),
    "classifier_auc": lambda x: two_sample.classifier_auc(
        x, BASE, None, None, generator=stream(), splits=1
    ),
    "dip": lambda x: unimodality.dip(x[:, 0]),
    "unimodality_test": lambda x: unimodality.unimodality_test(x, generator=stream(), nulls=19),
    "fit_plane": projection.fit_plane,
    "project": lambda x: projection.project(x, BASE.mean(0), torch.eye(2, 6)),
    "t_interval": lambda x: significance.t_interval(x[:, 0]),
    "sign_flip_test": lambda x: significance.sign_flip_test(x[:, 0], generator=stream(), flips=99),
    "label_test": lambda x: significance.label_test(
        x[:, 0], BASE[:, 0], generator=stream(), permutations=99
    ),
}


def finite(value):
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, tuple | list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_analysis_of_a_degenerate_cloud_is_finite_or_refused_in_words(name):
    if name == "fit_tsne":
        pytest.importorskip("openTSNE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, cloud in CLOUDS.items():
            try:
                found = FUNCTIONS[name](cloud)
            except InputError:
                continue
            assert finite(found), kind


@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        ("constant", "all 60 points are equal; give it points that differ"),
        ("NaN", "point 3 is not finite"),
        ("one point", "needs 15 points, found 1"),
    ],
)
def test_what_is_wrong_with_a_cloud_is_said(cloud, said):
    pytest.importorskip("openTSNE")
    with pytest.raises(InputError, match=said):
        tsne.fit_tsne(CLOUDS[cloud], perplexity=5)


def test_a_plane_through_equal_points_explains_nothing():
    assert projection.fit_plane(CLOUDS["constant"]).explained.tolist() == [0.0, 0.0]


def test_a_vector_that_stays_at_zero_has_not_moved():
    still = torch.zeros(2, 6)
    assert location.vector_displacements(still, still).tolist() == [0.0, 0.0]
    assert location.vector_displacements(still, still + 1).tolist() == [math.inf, math.inf]
