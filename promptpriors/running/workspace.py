"""Models, tasks and vocabularies that runs of one process share."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from promptpriors.data import build_task, fingerprint
from promptpriors.models import Backbone, ModelSpec, count_blocks, load_model, revision, vocabulary
from promptpriors.models.vocabulary import labels
from promptpriors.packing import encode
from promptpriors.prompts import Prompt
from promptpriors.registry import Choice
from promptpriors.training import Quality, quality
from promptpriors.types import Space, Task

Made = TypeVar("Made")


class Workspace:
    """Memo of models, tasks and whatever else is expensive to make.

    ``data`` is the data folder that the user named, if any.
    """

    def __init__(self, data: Path | None = None) -> None:
        self.data = data
        self._made: dict[str, dict[Hashable, Any]] = {}

    def once(
        self, kind: str, key: Hashable, make: Callable[[], Made], *, keep: int | None = None
    ) -> Made:
        """Make an object on first use and find it afterwards.

        Of a kind so many are kept as ``keep`` says, those last used; without it all.
        """
        known = self._made.setdefault(kind, {})
        known[key] = made = known.pop(key) if key in known else make()
        while keep is not None and len(known) > keep:
            known.pop(next(iter(known)))
        return made

    def backbone(self, spec: ModelSpec, *, reading: bool = False) -> Backbone:
        """A model on its device; for ``reading`` an encoder will do."""

        def load() -> Backbone:
            return load_model(
                spec.model,
                dtype=spec.dtype,
                device=spec.device,
                device_map=spec.device_map,
                reading=reading,
            )

        loaded = self.once("backbone", replace(spec, attention="auto"), load)
        return replace(loaded, attention=spec.attention)

    def blocks(self, model: str) -> int:
        """Number of a model's blocks, known without loading it."""
        return self.once("blocks", model, lambda: count_blocks(model))

    def revision(self, model: str) -> str:
        """Version, commit or content hash that a model's name means today."""
        return self.once("revision", model, lambda: revision(model))

    def task(self, choice: Choice) -> Task:
        """The examples of a task."""
        return self.once("task", repr(choice), lambda: build_task(choice, self.data))

    def fingerprint(self, choice: Choice) -> str:
        """Hash of a task's content."""
        return self.once("fingerprint", repr(choice), lambda: fingerprint(self.task(choice)))

    def vocabulary(self, spec: ModelSpec) -> Space:
        """The model's vocabulary as a space."""
        return self.once("vocabulary", spec, lambda: vocabulary(self.backbone(spec)))

    def tokens(self, spec: ModelSpec) -> list[str]:
        """The text of each row of the vocabulary."""
        return self.once("tokens", spec.model, lambda: labels(self.backbone(spec)))

    def floor(self, spec: ModelSpec, choice: Choice, *, bos: bool) -> Quality:
        """Quality of the plain model on a task's validation split, with a first token or not."""

        def measure() -> Quality:
            backbone, plain = self.backbone(spec), Prompt("none", {}, bos=bos)
            examples = self.task(choice).splits["validation"]
            return quality(backbone, plain, encode(backbone, examples, before=plain.before))

        return self.once("floor", (spec, repr(choice), bos), measure)
