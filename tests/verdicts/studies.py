"""Made-up studies: run folders without vectors, with planted effects, and the study's record."""

import hashlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptpriors.files import write_bytes, write_json, write_toml

RATES = ("0.02 relative", "0.1 relative")
FLOOR, TEXT, CEILING = 3.0, 2.5, 1.0
PRIORS = ("vocabulary", "gaussian", "isotropic", "text")
"""Those that an arm may be named by; any other arm has the prior xavier."""
CONFIG = {
    "model": "tiny",
    "task": {"name": "mathematics", "train": 16, "validation": 4, "test": 0},
    "prompt": {"mode": "soft", "length": 3, "sites": ["embed"]},
}


@dataclass
class Study:
    """A study that can be written.

    Attributes:
        effects: of the arms on the final loss; the first arm is the reference.
        noise: deviation of the rest.
        draw: deviation of an arm's draws.
        order: deviation of the seeds' orders of the data.
        positive: effect of the positive control; None leaves it out.
        negative: effect of the negative control; None leaves it out.
        ceiling: loss of the ceiling; None leaves it out.
        level: the reference's loss.
        lost: arm, rate and seed of runs that diverged.
        crossed: draws of each seed; every one is trained on every order.
        falling: arms whose curves have not come to rest.
        error: what a diverged run says.
        absent: arm, rate and seed of runs that have not begun.
        every: steps between evaluations.
    """

    effects: dict[str, float]
    noise: float = 0.02
    draw: float = 0.02
    order: float = 0.05
    seeds: int = 4
    rates: tuple[str, ...] = RATES
    positive: float | None = 1.0
    negative: float | None = 0.0
    ceiling: float | None = CEILING
    level: float = 1.5
    margin: float = 0.05
    lost: set[tuple[str, str, int]] = field(default_factory=set)
    crossed: int = 0
    falling: tuple[str, ...] = ()
    steps: int = 60
    every: int = 5
    error: str = "Diverged: the loss became NaN at step 7"
    absent: set[tuple[str, str, int]] = field(default_factory=set)
    name: str = "screening"
    setting: str = ""
    metric: str = "val_loss"
    random: int = 0

    @property
    def reference(self) -> str:
        return next(iter(self.effects))

    def write(self, folder: Path, **changes: Any) -> list[dict[str, Any]]:
        """Write runs and record; the record's rows come back."""
        rows = []
        for row, loss in self.planned():
            rows.append(row)
            if (row["arm"], row["rate"], row["seed"]) not in self.absent:
                self._run(folder, row, loss)
        compare = {
            "reference": self.reference, "margin": self.margin, "metric": self.metric,
            "controls": self.positive is not None,
        }  # fmt: skip
        record = {"format": 1, "results": 2, "name": self.name, "compare": compare, "runs": rows}
        (folder / "studies").mkdir(parents=True, exist_ok=True)
        write_json(folder / "studies" / f"{self.name}.json", {**record, **changes})
        return rows

    def planned(self):
        """Every row of the record with its final loss."""
        found = [*self._beside()]
        stream = random.Random(f"{self.random} {self.setting}")
        orders = [stream.gauss(0, self.order) for _ in range(self.seeds)]
        for arm, effect in self.effects.items():
            found += self._arm("arm", arm, effect, self.rates, orders, stream)
        if self.positive is not None:
            found += self._arm(
                "positive", "positive control", self.positive, self.rates[:1], orders, stream
            )
        if self.negative is not None:
            name = f"{self.reference}, second name"
            found += self._arm("negative", name, self.negative, self.rates, orders, stream)
        return found

    def _beside(self):
        yield self._row("baseline", "none", "", 0), FLOOR
        yield self._row("baseline", "text: Answer.", "", 0), TEXT
        if self.ceiling is not None:
            for place, rate in enumerate(("0.0003", "0.001")):
                yield self._row("ceiling", "lora 16", rate, 0), self.ceiling + 0.4 * (1 - place)

    def _arm(self, kind, arm, effect, rates, orders, stream):
        draws = self.crossed or self.seeds
        own = [stream.gauss(0, self.draw) for _ in range(draws)]
        for place, rate in enumerate(rates):
            for seed, order in enumerate(orders):
                for draw in range(draws) if self.crossed else [seed]:
                    row = self._row(kind, arm, rate, seed, draw)
                    shift = 0.1 * place + order + own[draw] + stream.gauss(0, self.noise)
                    yield row, self.level + effect + shift

    def _row(self, kind, arm, rate, seed, draw=None):
        factors: dict[str, Any] = {"seed": seed if draw is None else draw}
        if rate.endswith("relative"):
            factors["train.lr"] = {"relative": float(rate.split()[0])}
        if self.crossed:
            factors["train.order"] = seed
        words = f"{self.name} {self.setting} {kind} {arm} {rate} {seed} {draw}"
        return {
            "id": hashlib.sha256(words.encode()).hexdigest()[:16], "kind": kind, "arm": arm,
            "setting": self.setting, "rate": rate, "seed": seed, "factors": factors,
        }  # fmt: skip

    def _run(self, folder: Path, row: dict[str, Any], loss: float) -> None:
        place = folder / row["id"]
        place.mkdir(parents=True)
        mode = "none" if row["kind"] in {"baseline", "ceiling"} else "soft"
        prompt = {**CONFIG["prompt"], "mode": mode}
        train = {"steps": self.steps, "lr": 0.1}
        prior = re.split(r"\W", row["arm"])[0]
        name = {"name": prior if prior in PRIORS else "xavier"}
        config = {**CONFIG, "prompt": prompt, "prior": name, "train": train}
        write_toml(place / "config.toml", {**config, "seed": row["seed"]})
        if (row["arm"], row["rate"], row["seed"]) in self.lost:
            write_bytes(place / "error.txt", f"{self.error}\n".encode())
            return
        pace = 0.03 if row["arm"] in self.falling else 0.2
        evaluated = range(0, self.steps + 1, self.every)
        losses = {s: loss + 1.5 * (2.718281828 ** (-pace * s)) for s in evaluated}
        losses[self.steps] = loss
        lines = [
            f'{{"step": {s}, "train_loss": 1.0, "val_loss": {losses.get(s, "null")}, "lr": {{}}}}\n'
            for s in range(self.steps + 1)
        ]
        write_bytes(place / "metrics.jsonl", "".join(lines).encode())
        result = {
            "steps": self.steps, "seed": row["seed"], "val_loss_initial": losses[0],
            "val_loss": loss, "val_loss_best": min(losses.values()), "val_loss_none": FLOOR,
            "scores": {"accuracy": 1 - loss / FLOOR}, "seconds": 1.0,
        }  # fmt: skip
        write_json(place / "result.json", result)
