"""The paper's claims beside the numbers of the figures: one primary statistic each, and a verdict.

What needs several runs of a prior is undecided here, whatever one run shows: a study decides it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from promptpriors.files import read_json, write_json
from promptpriors.runs.pictures import PICTURES, stem

Verdict = Literal["confirmed", "refuted", "undecided", "not testable"]
Numbers = Mapping[int, Mapping[str, Any]]
"""By figure."""
SLIGHTLY = 0.8
"""A spread of this share of another and more is no localisation, only slightly below it."""
BRIDGE = "separation behind a soft prompt less without it"
ONE_RUN = "one run of each prior: a study with seeds decides it"


class Claim(NamedTuple):
    """What is said of a claim.

    Attributes:
        claim: its number.
        text: what the paper says.
        figures: that show it.
        statistic: the one that decides.
        value: of the statistic.
        interval: 95 %, over documents.
        p: of its test, where it has one.
        verdict: by the statistic alone.
        evidence: in words.
    """

    claim: int
    text: str
    figures: list[int]
    statistic: str
    value: float | None
    interval: list[float] | None
    p: float | None
    verdict: Verdict
    evidence: str


Found = tuple[str, float | None, list[float] | None, float | None, Verdict, str]
Rule = Callable[[Numbers], Found]


def write_claims(runs: Path) -> Path:
    """Judge what the stored figures allow, into ``claims.json``."""
    numbers = {
        number: read_json(path)["numbers"]
        for number in range(1, 14)
        if (path := runs / PICTURES / f"{stem(number)}.json").exists()
    }
    write_json(runs / "claims.json", {"claims": [claim._asdict() for claim in judge(numbers)]})
    return runs / "claims.json"


def judge(numbers: Numbers) -> list[Claim]:
    """Every claim; one whose figures are missing is undecided."""
    found = []
    for claim, (text, figures, rule) in CLAIMS.items():
        missing = [number for number in figures if number not in numbers]
        if missing:
            shown = ", ".join(map(str, missing))
            said: Found = ("", None, None, None, "undecided", f"figure {shown} was not made")
        else:
            said = rule(numbers)
        found.append(Claim(claim, text, figures, *said))
    return found


def _one_run(statistic: str, read: Callable[[Numbers], float | None]) -> Rule:
    return lambda numbers: (statistic, read(numbers), None, None, "undecided", ONE_RUN)


def _nothing(why: str, verdict: Verdict = "undecided") -> Rule:
    return lambda _: ("", None, None, None, verdict, why)


def _domains(numbers: Numbers) -> Found:
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
    return statistic, ratios[least][0], None, same, verdict, evidence


def _walks(numbers: Numbers) -> Found:
    found = numbers[1]["spread over vocabulary"]
    low, high = found["interval"]
    verdict: Verdict = "undecided"
    if low >= SLIGHTLY and high < 1:
        verdict = "confirmed"
    elif high < SLIGHTLY or low > 1:
        verdict = "refuted"
    words = f"texts are {found['ratio']:.2f} times as wide as walks over the vocabulary"
    return "spread over random walks'", found["ratio"], [low, high], found["p"], verdict, words


def _humps(numbers: Numbers) -> Found:
    few, blocks = numbers[4]["blocks that differ"], numbers[4]["blocks"]
    words = f"{few} of {len(blocks)} blocks have more of a dip than Gaussians of their covariance"
    if not few:
        words += "; that none is found does not show that there is none"
    least = min(found["p"] for found in blocks.values())
    verdict: Verdict = "refuted" if few else "undecided"
    return "blocks with a dip at 5 % over all", float(few), None, least, verdict, words


def _peaked(numbers: Numbers) -> Found:
    share = numbers[9]["rows beyond the Gaussian's 0.999 radius"]
    verdict: Verdict = "confirmed" if share > 0.01 else "refuted"
    words = f"{share:.1%} of the rows lie beyond a radius that 0.1 % of a Gaussian's draws exceed"
    return "share of the vocabulary beyond", share, None, None, verdict, words


def _answers(numbers: Numbers) -> Found:
    found = numbers[3]["answers"]
    low, high = found["interval"]
    verdict: Verdict = "undecided"
    if high < SLIGHTLY:
        verdict = "confirmed"
    elif low >= SLIGHTLY:
        verdict = "refuted"
    value = found["spread over the question's"]
    words = f"an answer's tokens are {value:.2f} times as wide as as many of its question's"
    return "spread of answers over questions'", value, [low, high], found["p"], verdict, words


def _generated(numbers: Numbers) -> Found:
    statistic, value, interval, p, verdict, words = _answers(numbers)
    turned: dict[Verdict, Verdict] = {"confirmed": "refuted", "refuted": "confirmed"}
    return statistic, value, interval, p, turned.get(verdict, verdict), f"{words}; answers alone"


def _autoencoder(numbers: Numbers) -> Found:
    rank = numbers[13]["effective rank of decoder means over the held half's"]
    verdict: Verdict = "refuted" if 0.8 <= rank <= 1.25 else "confirmed"
    words = f"whitened, with free bits, without first tokens it keeps {rank:.2f} of the data's rank"
    return "effective rank of decoder means over the data's", rank, None, None, verdict, words


def _encoder(numbers: Numbers) -> Found:
    where = next(name for name in numbers[5] if "encoder." in name)
    value = numbers[5][where]["silhouette"]
    if where.startswith("tiny-t5"):
        words = "no trained encoder–decoder was at hand; a random one is shown, and ours beside it"
        return "silhouette of means", value, None, None, "not testable", words
    pairs = numbers[5][where]["energy distance of means"]
    most = max(found["p"] for name, found in pairs.items() if "–" in name)
    verdict: Verdict = "confirmed" if most * len(pairs) <= 0.05 else "undecided"
    return "silhouette of means", value, None, most, verdict, f"largest p of a pair {most:.2g}"


def _moved(figure: int) -> Callable[[Numbers], float | None]:
    return lambda numbers: numbers[figure]["raw"]["p, moved"]


CLAIMS: dict[int, tuple[str, list[int], Rule]] = {
    1: (
        "Priors strongly affect where trained prompts end.",
        [6, 8],
        _one_run("displacement, isotropic, fast", lambda n: n[6]["raw"]["displacement"]),
    ),
    2: ("Final quality is equal across priors.", [], _nothing(ONE_RUN)),
    3: ("Far priors take longer to reach the same validation loss.", [], _nothing(ONE_RUN)),
    4: (
        "Xavier prompts stay where they start.",
        [10, 11],
        _one_run(
            "displacement, Xavier, soft", lambda n: n[10]["squad-xavier"]["raw"]["displacement"]
        ),
    ),
    5: (
        "SQuAD activations lie with C4's; arithmetic lies apart, in all layers.",
        [12],
        _domains,
    ),
    6: (
        "Prompts from the interpolated C4–MATH prior train as well and stay between the clusters.",
        [12],
        _one_run(
            "mean place between C4 (0) and arithmetic (1), trained",
            lambda n: n[12]["along, trained"]["mean"],
        ),
    ),
    7: ("The exclusion prior matches the others.", [9], _nothing(ONE_RUN)),
    8: ("A VAE prior collapses.", [13], _autoencoder),
    9: (
        "Sentence trajectories are not localised; their spread is slightly below that of random "
        "walks over the vocabulary.",
        [1],
        _walks,
    ),
    10: ("Activations are more or less unimodal in every layer.", [4], _humps),
    11: ("T5-base's mean activations separate C4 from six arithmetic tasks.", [5], _encoder),
    12: ("Soft prompts and deep ones at the input do equally well.", [], _nothing(ONE_RUN)),
    13: (
        "Trained prompts do not collapse onto token embeddings, nor deep ones onto activations.",
        [6, 7, 8, 10, 11],
        _one_run("p of moving nearer to rows than at random, isotropic, fast", _moved(6)),
    ),
    14: ("Collapse or divergence does not change final performance.", [], _nothing(ONE_RUN)),
    15: (
        "Vocabulary and activations are sharply peaked; a fitted Gaussian does not represent them.",
        [9],
        _peaked,
    ),
    16: (
        "Some trained vectors stay far, some lie in the data, and the far ones contribute.",
        [10],
        _nothing("one run; what a vector contributes is measured by masking it, over runs"),
    ),
    17: ("The tokens of an answer lie close together inside the question's.", [3], _answers),
    18: ("1e-3 is the most stable rate.", [], _nothing(ONE_RUN)),
    19: (
        "Prompt tuning does not connect the domains' clusters.",
        [12],
        _one_run(
            "separation of C4 and arithmetic behind a soft prompt less without it",
            lambda n: n[12]["separation behind a soft prompt less without it"]["C4 – arithmetic"][
                0
            ],
        ),
    ),
    20: ("Regularisers change the posterior.", [], _nothing(ONE_RUN)),
    21: ("Generated trajectories are not localised.", [3], _generated),
    22: ("Less collapse generalises better across domains.", [], _nothing(ONE_RUN)),
    23: (
        "Smaller models have more clusters.",
        [],
        _nothing("one model is at hand", "not testable"),
    ),
}
"""By the claim's number: its text, the figures that show it, and the rule that judges it."""
