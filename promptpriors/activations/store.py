"""A store: a folder of shards with a manifest. Shards appear whole; the manifest is ended last."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from promptpriors.errors import InputError, brief, note
from promptpriors.files import canonical, read_json, read_tensors, write_json
from promptpriors.registry import validate
from promptpriors.types import Site

FORMAT = 1
"""Version of the folder; raised whenever an old one would be read wrongly."""
MANIFEST = "manifest.json"

Dtype = Literal["float16", "float32"]
What = Literal["tokens", "mean"]


@dataclass(frozen=True)
class Plan:
    """Contents of a store, known before anything is computed.

    Attributes:
        model: name of the model.
        revision: of its weights.
        precision: type of its weights.
        task: its config.
        split: of the task; ``all`` for every one of them.
        content: hash of the examples.
        sites: where activations are read.
        tokens: longest text.
        documents: how many there are, at most.
        dtype: in which activations are kept.
        what: a row a token, or the mean of each example.
        bidirectional: whether the model looks ahead, so that a text can't be cut afterwards.
        prompt: id of the run whose prompt stands before the texts; None without one.
    """

    model: str
    revision: str
    precision: str
    task: dict[str, Any]
    split: str
    content: str
    sites: tuple[Site, ...]
    tokens: int
    documents: int
    dtype: Dtype
    what: What
    bidirectional: bool = False
    prompt: str | None = None

    @property
    def key(self) -> str:
        """Hash of what the activations are; where the data lie does not matter, nor the sites."""
        plain = {k: v for k, v in asdict(self).items() if k not in {"model", "task", "sites"}}
        return hashlib.sha256(canonical({"format": FORMAT, **plain}).encode()).hexdigest()[:16]


class Store:
    """A store that is read: its manifest, and the shards that can be read.

    Shards that are damaged or cut off are named in a warning and left out; the rest is usable.

    Args:
        folder: of the store.

    Attributes:
        manifest: the plan, and when the capture has ended ``complete`` with totals.
        sites: what it holds.
        shards: readable shards, in order.

    Raises:
        InputError: if it is no store or has no readable shard.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / MANIFEST).is_file():
            raise InputError(
                f"{folder} is no store of activations: it has no {MANIFEST}; "
                "stores are written by `promptpriors capture`"
            )
        self.manifest = read_manifest(self.folder)
        self.sites: tuple[Site, ...] = tuple(self.manifest["sites"])
        paths = sorted(self.folder.glob("shard-*.safetensors"))
        self.shards = [path for path in paths if metadata_of(path) is not None]
        if broken := [path.name for path in paths if path not in self.shards]:
            note(
                f"store {folder}: {', '.join(broken)} can't be read and is left out; the command "
                "that wrote the store computes it anew"
            )
        if not self.shards:
            raise InputError(f"store {folder} has no shard that can be read; capture it again")
        if not self.manifest["complete"]:
            note(f"store {folder} is not complete; the command that began it goes on")

    def parts(self, *names: str) -> Iterator[dict[str, Tensor]]:
        """The named tensors of one shard after another, memory-mapped.

        Raises:
            InputError: naming a shard that lacks one, or for a site that was not captured.
        """
        for name in names:
            _, of_site, site = name.partition("site/")
            if of_site and site not in self.sites:
                raise InputError(
                    f"store {self.folder} has no site {site!r}; it has {', '.join(self.sites)}"
                )
        for path in self.shards:
            with safetensors.safe_open(path, framework="pt") as file:  # pyright: ignore[reportPrivateImportUsage]
                try:
                    yield {name: file.get_tensor(name) for name in names}
                except safetensors.SafetensorError:
                    raise InputError(f"{path} is damaged: it lacks one of {names}") from None

    def ids(self) -> list[str]:
        """The ids of the examples, in order."""
        return [name for path in self.shards for name in (metadata_of(path) or {})["ids"]]

    def prompt_rows(self) -> dict[Site, Tensor]:
        """Activations of the prompt's own rows; empty without a prompt."""
        path = self.folder / "prompt.safetensors"
        return read_tensors(path)[0] if path.exists() else {}


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    name: str


class _Manifest(BaseModel):
    """Parts of a manifest that readers count on."""

    model_config = ConfigDict(extra="ignore", strict=True)

    format: int
    key: str
    model: str
    revision: str
    task: _Named
    sites: Annotated[list[str], Field(min_length=1)]
    what: What
    dtype: Dtype
    complete: bool


class _Shard(BaseModel):
    """Parts of a shard's metadata that readers count on."""

    model_config = ConfigDict(extra="ignore", strict=True)

    ids: list[str]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a store.

    Raises:
        InputError: if it is damaged or of another format.
    """
    path = folder / MANIFEST
    manifest = read_json(path)
    if isinstance(manifest, dict) and manifest.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path} has format {brief(manifest['format'])}, expected {FORMAT}")
    validate(_Manifest, manifest, f"{path} is not the manifest of a store", brief=True)
    return manifest


def write_manifest(folder: Path, plan: Plan, **totals: int) -> None:
    """Write the manifest: without totals when a capture begins, with them when it has ended."""
    known = {"format": FORMAT, **asdict(plan), "key": plan.key, "complete": bool(totals)}
    write_json(folder / MANIFEST, known | totals)


def metadata_of(path: Path) -> dict[str, Any] | None:
    """A shard's number, examples and digest of its tokens; None if it is not whole or none."""
    try:
        found = read_tensors(path, prefix=None)[1]  # the header says how long the file must be
        validate(_Shard, found, path.name, brief=True)
    except InputError:
        return None
    return found
