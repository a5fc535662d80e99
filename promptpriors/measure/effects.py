"""Effects of a finished run's vectors on the loss."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptpriors.activations.texts import documents
from promptpriors.analysis.readout import read_out
from promptpriors.analysis.significance import change
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.errors import InputError
from promptpriors.geometry import nearest_by_cosine, neighbour_distance
from promptpriors.models import Backbone
from promptpriors.priors import fit_prior
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt
from promptpriors.prompts.ablation import ByExample, ablated, compared, replaced
from promptpriors.prompts.attention_mass import attention_mass
from promptpriors.rng import derive, generator
from promptpriors.running.run import draw_start, fit_priors
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, load_prompt
from promptpriors.runs.places import config_of
from promptpriors.runs.records import USE
from promptpriors.runs.trained import warn_of_revision
from promptpriors.types import Example, Site, Space

FORMAT, SPLIT = 1, "validation"
NULLS = 1999  # draws of the vocabulary's Gaussian beside the readout, at least

Points = Mapping[Site, Float[Tensor, "n dim"]]


def measure_use(
    run: Run,
    workspace: Workspace,
    *,
    examples: int = 64,
    draws: int = 3,
    seed: int = 0,
    points: Points | None = None,
    on_progress: OnProgress = silent,
    model: str | None = None,
) -> dict[str, Any]:
    """Measure the effects of a finished run's vectors, once for equal settings.

    A vector is its number at all of the prompt's sites; halves are taken at each site by itself.
    Every change is in nats per target token against the whole prompt, with an interval over the
    examples' documents; draws and vectors are taken as they are.

    Args:
        run: a finished one with vectors.
        workspace: its models and data.
        examples: of the validation split, drawn at random.
        draws: of the run's prior, fitted anew, by which each vector is replaced, and of random rows
            that it is projected to.
        seed: of examples and draws.
        points: at blocks, by which halves are taken there, such as captured activations; at
            ``embed`` it is the vocabulary.
        on_progress: called with stage, share done, and what is known so far.
        model: where the run's model is now, if not where it recorded it.

    Returns:
        What ``use.json`` in the run's folder holds: ``settings``, ``model`` (its revision),
        ``split``, ``examples``, ``documents``; ``loss``; ``masked``, ``replaced`` by vector,
        ``halves`` by site, ``attention`` by block and head and by block and vector, ``projected``,
        ``readout``; and ``left_out``, the reason of whatever has no meaning here.

    Raises:
        InputError: for an unfinished run, one without vectors, more examples than there are, or a
            model whose prompts can't be masked.
    """
    config = parse_config(config_of(run, model))
    _check_run(run, config, examples, draws)
    points = points or {}
    backbone = workspace.backbone(config.model_spec)
    warn_of_revision(run, backbone)
    settings = {"format": FORMAT, "examples": examples, "draws": draws, "seed": seed}
    settings |= {"clouds": {site: _digest(found) for site, found in sorted(points.items())}}
    known = run.record(USE) or {}
    if known.get("settings") == settings and known.get("model") == backbone.revision:
        return known
    prompt = load_prompt(run.folder).to(backbone.device)
    chosen = _examples(config, workspace, examples, seed)
    measurement = _Measurement(
        config, workspace, backbone, prompt, chosen, draws, seed, points, on_progress
    )
    measured = {"settings": settings, "model": backbone.revision, "split": SPLIT}
    run.write_record(USE, measured | measurement.complete())
    return run.record(USE) or {}


@dataclass(frozen=True)
class _Measurement:
    config: RunConfig
    workspace: Workspace
    backbone: Backbone
    prompt: Prompt
    examples: list[Example]
    draws: int
    seed: int
    points: Points
    on_progress: OnProgress

    def complete(self) -> dict[str, Any]:
        left_out: dict[str, str] = {}
        count = int(self.documents.max()) + 1
        if count < 2:
            left_out["intervals"] = "all examples begin with one piece, which is a single document"
        return {
            "examples": len(self.examples),
            "documents": count,
            "loss": float(self.whole.losses[0]),
            "masked": self._masked(),
            "replaced": self._replaced(),
            "halves": self._halves(left_out),
            "attention": self._attention(),
            **self._embedded(left_out),
            "left_out": left_out,
        }

    @cached_property
    def documents(self) -> Int[Tensor, " examples"]:
        """Number of each example's document, in the split's order."""
        sizes = torch.tensor([len(found) for found in documents(self.examples)])
        return torch.arange(len(sizes)).repeat_interleave(sizes)

    @property
    def _vocabulary(self) -> Space:
        return self.workspace.vocabulary(self.config.model_spec)

    @cached_property
    def whole(self) -> ByExample:
        """The prompt as it is."""
        return ablated(self.backbone, self.prompt, self.examples, [[]])

    def _masked(self) -> dict[str, Any]:
        """Each vector alone, and all of them."""
        self.on_progress("masking vectors", 0.0, {})
        every = range(self.prompt.length)
        groups = [*([i] for i in every), list(every)]
        found = ablated(self.backbone, self.prompt, self.examples, groups).nats
        changes = [self._change(nats) for nats in found]
        return {"vectors": changes[:-1], "all": changes[-1]}

    def _replaced(self) -> list[dict[str, Any]]:
        """Each vector by fresh draws of the prior that it started from."""
        self.on_progress("replacing vectors", 0.2, {})
        priors = fit_priors(self.config, self.workspace, self.on_progress)
        found = []
        for k in range(self.draws):
            fresh = replace(self.config, seed=derive(self.seed, "use", "draw", k))
            other = draw_start(fresh, self.workspace, priors).to(self.backbone.device)
            prompts = [replaced(self.prompt, other, [i]) for i in range(self.prompt.length)]
            found.append(compared(self.backbone, prompts, self.examples).nats)
            self.on_progress("replacing vectors", 0.2 + 0.5 * (k + 1) / self.draws, {})
        return [self._change_by_draw(nats) for nats in torch.stack(found, dim=1)]

    def _halves(self, left_out: dict[str, str]) -> dict[Site, Any]:
        """The half of a site's vectors that is nearest to points there, and the farthest."""
        self.on_progress("masking halves", 0.7, {})
        found = {}
        # Attention rests on whatever stands first; masking it can cost more than masking all.
        excluded = [0] if self.prompt.mode in {"soft", "deep"} and not self.prompt.bos else []
        for site, values in self.prompt.snapshot().items():
            points = self.points.get(site, self._vocabulary.points if site == "embed" else None)
            size = (len(values) - len(excluded)) // 2
            reason = ""
            if self.prompt.mode == "kv":
                reason = f"keys and values at {site} lie in no cloud of points"
            elif not size:
                reason = "too few vectors for two halves"
            if points is None or reason:
                left_out[f"halves.{site}"] = reason or f"no cloud of points at {site}"
                continue
            distance = neighbour_distance(values, points.float())
            order = distance[len(excluded) :].argsort() + len(excluded)
            sides = [order[:size].sort().values.tolist(), order[-size:].sort().values.tolist()]
            nats = ablated(self.backbone, self.prompt, self.examples, sides, site=site).nats
            found[site] = {
                "distance": distance.tolist(),
                "in_neither": sorted({*range(len(values))} - {*sides[0], *sides[1]}),
                "near": {"vectors": sides[0]} | self._change(nats[0]),
                "far": {"vectors": sides[1]} | self._change(nats[1]),
                "near_less_far": self._change(nats[0], nats[1]),
            }
        return found

    def _attention(self) -> dict[str, Any]:
        """Means over examples, of the tokens that predict the answer and of all tokens."""
        self.on_progress("weighing attention", 0.8, {})
        mass = attention_mass(self.backbone, self.prompt, self.examples)
        return {
            name: {"by_head": part.sum(dim=2).tolist(), "by_vector": part.mean(dim=1).tolist()}
            for name, part in (("answers", mass.answers.mean(0)), ("text", mass.text.mean(0)))
        }

    def _embedded(self, left_out: dict[str, str]) -> dict[str, Any]:
        """What the vectors at ``embed`` read as, and the loss when they are the rows they read."""
        self.on_progress("reading vectors", 0.9, {})
        if "embed" not in self.prompt.sites:
            reason = f"no vocabulary at {', '.join(self.prompt.sites)}"
            left_out |= {"projected": reason, "readout": reason}
            return {}
        space = self._vocabulary
        values = self.prompt.snapshot()
        vectors = values["embed"]
        nearest = nearest_by_cosine(vectors, space.points).rows[:, 0]
        stream = generator(self.seed, "use", "rows")
        random = torch.randint(len(space.points), (self.draws, len(vectors)), generator=stream)
        choices = torch.cat([nearest[None], random])
        mode, bos = self.prompt.mode, self.prompt.bos
        sets = [Prompt(mode, values | {"embed": space.points[i]}, bos=bos) for i in choices]
        prompts = [prompt.to(self.backbone.device) for prompt in sets]
        nats = compared(self.backbone, prompts, self.examples).nats
        projected = {
            "nearest": self._change(nats[0]),
            "random": self._change_by_draw(nats[1:]),
            "nearest_less_random": self._change(nats[0], nats[1:].mean(dim=0)),
        }
        return {"projected": projected, "readout": self._read(vectors, space.points)}

    def _read(self, vectors: Tensor, rows: Tensor) -> list[dict[str, Any]]:
        """Whether each vector reads as a row, and as which."""
        prior = fit_prior("gaussian", self._vocabulary)
        count = max(NULLS, 40 * len(vectors))
        found = read_out(vectors, rows, prior.sample(count, generator=generator(0, "use", "nulls")))
        labels = self.workspace.tokens(self.config.model_spec)
        columns = {name: getattr(found, name).tolist() for name in found._fields}
        columns["token"] = [labels[i] for i in columns.pop("rows")]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _change_by_draw(self, nats: Float[Tensor, "draws examples"]) -> dict[str, Any]:
        by_draw = [self._change(row)["change"] for row in nats]
        return self._change(nats.mean(dim=0)) | {"by_draw": by_draw}

    def _change(self, nats: Tensor, other: Tensor | None = None) -> dict[str, float]:
        """Of the loss against another, the whole prompt's unless given."""
        difference = nats - (self.whole.nats[0] if other is None else other)
        return change(difference, self.whole.targets, self.documents)


def _check_run(run: Run, config: RunConfig, examples: int, draws: int) -> None:
    if run.status != "done":
        raise InputError(f"run {run.id} is {run.status}: {run.error or 'start it again to end it'}")
    if config.prompt.mode == "none":
        raise InputError(f"run {run.id} has the empty prompt, whose use is none; take another run")
    if examples < 2 or draws < 1:
        raise InputError(f"{examples} examples and {draws} draws: expected at least 2 and 1")


def _examples(config: RunConfig, workspace: Workspace, count: int, seed: int) -> list[Example]:
    """So many of the split, in its order."""
    known = workspace.task(config.task).splits[SPLIT]
    if len(known) < count:
        raise InputError(
            f"the {SPLIT} split of task {config.task.name!r} has {len(known)} examples; expected "
            f"at least {count}\nAsk for fewer examples, or train with a larger split"
        )
    order = torch.randperm(len(known), generator=generator(seed, "use", "examples"))[:count]
    return [known[i] for i in order.sort().values.tolist()]


def _digest(points: Tensor) -> str:
    raw = points.detach().cpu().float().contiguous().numpy().tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]
