"""What runs of one process share: models, tasks, spaces, the loss without a prompt, maps."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.projection import fit_plane, project
from promptpriors.config.capture import CaptureConfig
from promptpriors.config.run import RunConfig
from promptpriors.data import build_task, fingerprint
from promptpriors.geometry import nearest_by_cosine
from promptpriors.models import Backbone, count_blocks, load_model, revision, vocabulary
from promptpriors.models.cache import cache_folder
from promptpriors.models.vocabulary import labels
from promptpriors.packing import Encoded, encode
from promptpriors.priors import fit_prior
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt
from promptpriors.registry import Choice
from promptpriors.rng import generator
from promptpriors.running.spaces import cloud
from promptpriors.runs import Map, write_map
from promptpriors.training import Quality, quality
from promptpriors.types import Prior, Site, Space, Task

FITTED = 8
"""Priors that are kept: those of real points hold all their points."""
NULL_DRAWS = 512
"""Rows and draws by which the null figures of nearest tokens are measured."""


class Workspace:
    """Loads each thing once.

    Args:
        data: the data folder that the user named, if any.
    """

    def __init__(self, data: Path | None = None) -> None:
        self.data = data
        self._shared: dict[Any, Any] = {}
        self._last: tuple[Any, Any] = (None, None)
        self._priors: dict[Any, Prior] = {}

    def backbone(self, config: RunConfig | CaptureConfig, *, reading: bool = False) -> Backbone:
        """The config's model on its device; for ``reading`` an encoder will do."""
        device = config.device
        key = ("backbone", config.model, device.dtype, device.name, device.device_map)
        backbone = self._once(
            key,
            lambda: load_model(
                config.model,
                dtype=device.dtype,
                device=device.name,
                device_map=device.device_map,
                reading=reading,
            ),
        )
        return replace(backbone, attention=device.attention)

    def blocks(self, config: RunConfig) -> int:
        """How many blocks the config's model has; known without loading it."""
        return self._once(("blocks", config.model), lambda: count_blocks(config.model))

    def trunk(self, config: RunConfig) -> Path | None:
        """Where trunks are kept, if they are."""
        return cache_folder() / "trunk" if config.device.trunk_cache else None

    def revision(self, config: RunConfig) -> str:
        """What the config's model name means today."""
        return self._once(("revision", config.model), lambda: revision(config.model))

    def task(self, config: RunConfig) -> "LoadedTask":
        """The config's task with its fingerprint."""
        return self.load(config.task)

    def load(self, choice: Choice) -> "LoadedTask":
        """A task with its fingerprint."""
        key = ("task", repr(choice))
        return self._once(key, lambda: LoadedTask(build_task(choice, self.data)))

    def space(
        self,
        config: RunConfig,
        params: Mapping[str, Any],
        site: Site = "embed",
        on_progress: OnProgress = silent,
    ) -> Space:
        """The space that a prior's config asks for, for draws at ``site``; the last one is kept.

        Raises:
            InputError: as ``clouds.cloud``.
        """
        names = ("space", "pool", "length_matched", "most_frequent", "text")
        asked = {name: params.get(name) for name in names}
        key = (config.model, config.device, config.capture, repr(config.task), repr(asked), site)
        plain = asked["space"] == "vocabulary" and asked["pool"] == "token" and site == "embed"
        if plain and not asked["most_frequent"]:
            return self.vocabulary(config)
        if self._last[0] != key:
            self._last = (key, cloud(config, self, params, site, on_progress))
        return self._last[1]

    def vocabulary(self, config: RunConfig) -> Space:
        """The model's vocabulary."""
        key = ("vocabulary", config.model, config.device)
        return self._once(key, lambda: vocabulary(self.backbone(config)))

    def fitted(
        self, config: RunConfig, choice: Choice, site: Site, fit: Callable[[], Prior]
    ) -> Prior:
        """A prior that is drawn at ``site``, fitted once while it is among the last used."""
        key = (config.model, config.device, config.capture, repr(config.task), repr(choice), site)
        prior = self._priors.pop(key, None) or fit()
        self._priors[key] = prior
        while len(self._priors) > FITTED:
            self._priors.pop(next(iter(self._priors)))
        return prior

    def floor(self, config: RunConfig) -> Quality:
        """Quality of the plain model on the validation split."""
        key = ("floor", config.model, config.device, repr(config.task), config.prompt.bos)
        return self._once(key, lambda: self._floor(config))

    def map(self, config: RunConfig, runs: Path) -> str:
        """Relative path of the map of the model's vocabulary below ``runs``, made when missing."""
        backbone = self.backbone(config)
        words = (backbone.revision, config.device.dtype, "embed", "v1")
        name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        relative = f"maps/{name}.safetensors"
        if not (runs / relative).exists():
            write_map(runs / relative, self._map(config))
        return relative

    def tokens(self, config: RunConfig) -> list[str]:
        """The text of each row of the vocabulary."""
        return self._once(("tokens", config.model), lambda: labels(self.backbone(config)))

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _floor(self, config: RunConfig) -> Quality:
        backbone = self.backbone(config)
        plain = Prompt("none", {}, bos=config.prompt.bos)
        examples = self.task(config).task.splits["validation"]
        return quality(backbone, plain, encode(backbone, examples, before=plain.before))

    def counts(self, config: RunConfig) -> Float[Tensor, " vocab"]:
        """How often each token id occurs in the task's train split."""
        backbone = self.backbone(config)
        encoded = encode(backbone, self.task(config).task.splits["train"])
        ids = torch.tensor([i for e in encoded for piece in (*e.pieces, e.target) for i in piece])
        size = backbone.model.get_input_embeddings().num_embeddings
        return torch.bincount(ids, minlength=size).float()

    def _map(self, config: RunConfig) -> Map:
        backbone = self.backbone(config)
        space = vocabulary(backbone)
        plane = fit_plane(space.points)
        return Map(
            model=backbone.name,
            site=space.site,
            coordinates=project(space.points, plane.mean, plane.components),
            mean=plane.mean,
            components=plane.components,
            explained=plane.explained,
            labels=self.tokens(config),
            nulls=_nulls(space),
        )


class LoadedTask:
    """A task and what a run's id knows of it."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @cached_property
    def fingerprint(self) -> str:
        """Hash of its content."""
        return fingerprint(self.task)


def check_lengths(backbone: Backbone, task: Task, before: int) -> dict[str, list[Encoded]]:
    """Tokenise every split once, so that an example that is too long is found before the work.

    Raises:
        InputError: as ``packing.encode``.
    """
    more = task.max_new_tokens
    return {
        split: encode(backbone, examples, before=before, more=more if split == "test" else 0)
        for split, examples in task.splits.items()
        if split in {"train", "validation", "test"}
    }


def _nulls(space: Space) -> dict[str, float]:
    """Mean best cosine to the vocabulary of real rows (to others) and of the Gaussian's draws."""
    chosen = torch.randperm(len(space.points), generator=generator(0, "nulls"))[:NULL_DRAWS]
    rows = nearest_by_cosine(space.points[chosen], space.points, exclude=chosen)
    draws = fit_prior("gaussian", space).sample(
        NULL_DRAWS, generator=generator(0, "nulls", "draws")
    )
    return {
        "real_rows": float(rows.cosine.mean()),
        "gaussian": float(nearest_by_cosine(draws, space.points).cosine.mean()),
    }
