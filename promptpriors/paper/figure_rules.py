"""Rules that judge the paper's claims by the numbers beside its figures.

A figure shows one run of each prior, so that what needs several is undecided here, whatever that
run shows: a study decides it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promptpriors.files import read_json
from promptpriors.paper.claims import claim_with, judged, paper_claims
from promptpriors.runs.claims import Claim, Evidence, Verdict
from promptpriors.runs.pictures import PICTURES, stem

Numbers = Mapping[int, Mapping[str, Any]]
Rule = Callable[[Numbers], Evidence]
SLIGHTLY = 0.8
"""A spread of this share of another and more is no localisation, only slightly below it."""
ONE_RUN = "one run of each prior: a study with seeds decides it"


def judge_figures(runs: Path) -> list[Claim]:
    """Judge the paper's claims by the figures that a runs folder holds."""
    paths = {number: runs / PICTURES / f"{stem(number)}.json" for number in range(1, 14)}
    return judge({n: read_json(path)["numbers"] for n, path in paths.items() if path.exists()})


def judge(numbers: Numbers) -> list[Claim]:
    """Judge every claim of the paper; one whose figures are missing is undecided."""
    return [claim_with(number, figure=_evidence(number, numbers)) for number in paper_claims()]


def _evidence(number: int, numbers: Numbers) -> Evidence:
    missing = [str(figure) for figure in paper_claims()[number].figures if figure not in numbers]
    if missing:
        return judged("undecided", f"figure {', '.join(missing)} was not made")
    if number in RULES:
        return RULES[number](numbers)
    if number in ONE_RUN_STATISTICS:
        statistic, read = ONE_RUN_STATISTICS[number]
        return judged("undecided", ONE_RUN, read(numbers), statistic=statistic)
    return judged("undecided", ONE_RUN)


def _domains(numbers: Numbers) -> Evidence:
    sites = numbers[12]["energy distance of means by site"]
    ratios = {}
    for site, pairs in sites.items():
        near, far = pairs["C4 – SQuAD"], pairs["C4 – arithmetic"]
        ratios[site] = (far["ratio"] / near["ratio"], far["interval"][0] > near["interval"][1])
    least = min(ratios, key=lambda site: ratios[site][0])
    apart = all(farther for _, farther in ratios.values())
    same = max(pairs["C4 – SQuAD"]["p"] for pairs in sites.values())
    evidence = (
        f"arithmetic is {ratios[least][0]:.1f} times as far from C4 as SQuAD is where it is least "
        f"({least}), of {len(sites)} sites; SQuAD and C4 are no one cluster (largest p {same:.2g})"
    )
    verdict: Verdict = "confirmed" if apart and same > 0.05 else "undecided"
    if apart and same <= 0.05:
        evidence += "; arithmetic lies apart, yet SQuAD does not lie with C4"
    statistic = "C4–arithmetic over C4–SQuAD, energy distance of means, least of the sites"
    return judged(verdict, evidence, ratios[least][0], p=same, statistic=statistic)


def _walks(numbers: Numbers) -> Evidence:
    found = numbers[1]["spread over vocabulary"]
    low, high = found["interval"]
    slightly, otherwise = low >= SLIGHTLY and high < 1, high < SLIGHTLY or low > 1
    verdict: Verdict = "confirmed" if slightly else "refuted" if otherwise else "undecided"
    words = f"texts are {found['ratio']:.2f} times as wide as walks over the vocabulary"
    statistic = "spread over random walks'"
    return judged(verdict, words, found["ratio"], (low, high), p=found["p"], statistic=statistic)


def _humps(numbers: Numbers) -> Evidence:
    few, blocks = numbers[4]["blocks that differ"], numbers[4]["blocks"]
    words = f"{few} of {len(blocks)} blocks have more of a dip than Gaussians of their covariance"
    if not few:
        words += "; that none is found does not show that there is none"
    least = min(found["p"] for found in blocks.values())
    verdict: Verdict = "refuted" if few else "undecided"
    statistic = "blocks with a dip at 5 % over all"
    return judged(verdict, words, float(few), p=least, statistic=statistic)


def _peaked(numbers: Numbers) -> Evidence:
    share = numbers[9]["rows beyond the Gaussian's 0.999 radius"]
    verdict: Verdict = "confirmed" if share > 0.01 else "refuted"
    words = f"{share:.1%} of the rows lie beyond a radius that 0.1 % of a Gaussian's draws exceed"
    return judged(verdict, words, share, statistic="share of the vocabulary beyond")


def _answers(
    numbers: Numbers, close: Verdict = "confirmed", wide: Verdict = "refuted", caveat: str = ""
) -> Evidence:
    found = numbers[3]["answers"]
    low, high = found["interval"]
    verdict = close if high < SLIGHTLY else wide if low >= SLIGHTLY else "undecided"
    value = found["spread over the question's"]
    words = f"an answer's tokens are {value:.2f} times as wide as as many of its question's{caveat}"
    statistic = "spread of answers over questions'"
    return judged(verdict, words, value, (low, high), p=found["p"], statistic=statistic)


def _autoencoder(numbers: Numbers) -> Evidence:
    rank = numbers[13]["effective rank of decoder means over the held half's"]
    verdict: Verdict = "refuted" if 0.8 <= rank <= 1.25 else "confirmed"
    words = f"whitened, with free bits, without first tokens it keeps {rank:.2f} of the data's rank"
    statistic = "effective rank of decoder means over the data's"
    return judged(verdict, words, rank, statistic=statistic)


def _encoder(numbers: Numbers) -> Evidence:
    where = next(name for name in numbers[5] if "encoder." in name)
    value, statistic = numbers[5][where]["silhouette"], "silhouette of means"
    if where.startswith("tiny-t5"):
        words = "no trained encoder–decoder was at hand; a random one is shown, and ours beside it"
        return judged("not testable", words, value, statistic=statistic)
    pairs = numbers[5][where]["energy distance of means"]
    most = max(found["p"] for name, found in pairs.items() if "–" in name)
    verdict: Verdict = "confirmed" if most * len(pairs) <= 0.05 else "undecided"
    words = f"largest p of a pair {most:.2g}"
    return judged(verdict, words, value, p=most, statistic=statistic)


RULES: dict[int, Rule] = {
    5: _domains,
    8: _autoencoder,
    9: _walks,
    10: _humps,
    11: _encoder,
    15: _peaked,
    16: lambda _: judged(
        "undecided", "one run; what a vector contributes is measured by masking it, over runs"
    ),
    17: _answers,
    21: lambda numbers: _answers(numbers, "refuted", "confirmed", "; answers alone"),
    23: lambda _: judged("not testable", "one model is at hand"),
}
"""Rule of each claim on which figures say more than one run of each prior does."""
ONE_RUN_STATISTICS: dict[int, tuple[str, Callable[[Numbers], float | None]]] = {
    1: ("displacement, isotropic, fast", lambda n: n[6]["raw"]["displacement"]),
    4: ("displacement, Xavier, soft", lambda n: n[10]["squad-xavier"]["raw"]["displacement"]),
    6: (
        "mean place between C4 (0) and arithmetic (1), trained",
        lambda n: n[12]["along, trained"]["mean"],
    ),
    13: (
        "p of moving nearer to rows than at random, isotropic, fast",
        lambda n: n[6]["raw"]["p, moved"],
    ),
    19: (
        "separation of C4 and arithmetic behind a soft prompt less without it",
        lambda n: n[12]["separation behind a soft prompt less without it"]["C4 – arithmetic"][0],
    ),
}
"""Statistic of one run for each claim that a study decides, in words and read from the numbers."""
