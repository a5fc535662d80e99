"""A run, from its folder or from a packed file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_json, read_json_lines, read_tensors, write_json
from promptpriors.runs.columns import decode_rows
from promptpriors.runs.packed import PackedRun, Vectors, lost_vectors, vectors_path
from promptpriors.runs.schema import check_rows, check_tensors


@dataclass(frozen=True)
class Run:
    """A run, from its folder or from a packed file.

    Attributes:
        folder: named by the run's id; of a packed run it may be missing.
        config: the resolved config.
        result: ``result.json``, None unless the run is done.
        error: ``error.txt``, None unless the run failed.
        packed: None if the run has a folder.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None
    packed: PackedRun | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def status(self) -> str:
        """``done``, ``failed`` or ``unfinished``."""
        if self.result is not None:
            return "done"
        return "unfinished" if self.error is None else "failed"

    @property
    def where(self) -> str:
        """Folder of the run, or packed file and line."""
        return self.packed.where if self.packed else str(self.folder)

    def metrics(self) -> list[dict[str, Any]]:
        """Read the records of ``metrics.jsonl``, oldest first.

        Raises:
            InputError: if they are damaged.
        """
        if not self.packed:
            path = self.folder / "metrics.jsonl"
            return check_rows(read_json_lines(path), path)
        try:
            rows = decode_rows(self.packed.line.metrics, self.packed.shapes)
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from None
        return check_rows(rows, f"{self.where}, metrics")

    def tensors(self) -> dict[str, Tensor]:
        """Read ``initial/<site>``, ``final/<site>``, ``trajectory/<site>``, ``trajectory/steps``.

        Of a packed run only what was kept of them, float32 where it is stored in float16.

        Raises:
            InputError: if the file is damaged or the vectors of a site are missing or malformed.
        """
        path = self.packed.where if self.packed else self.folder / "prompt.safetensors"
        found = self._packed_tensors(self.packed) if self.packed else read_tensors(Path(path))[0]
        ends = ("final",) if self.vectors == "final" else ("initial", "final")
        check_tensors(found, self.config, path, ends)
        return found

    def _packed_tensors(self, packed: PackedRun) -> dict[str, Tensor]:
        self.metadata()
        path, prefix = vectors_path(packed.pack), f"{self.id}/"
        if not path.is_file():
            raise InputError(f"{lost_vectors(packed.pack, f'run {self.id}')}; copy it there")
        return {
            name.removeprefix(prefix): t.float() if t.dtype == torch.float16 else t
            for name, t in read_tensors(path, prefix)[0].items()
        }

    @property
    def vectors(self) -> Vectors:
        """Vectors that can be read: none, those of the last step, or all."""
        if self.packed:
            return self.packed.line.vectors if vectors_path(self.packed.pack).is_file() else "none"
        return "all" if (self.folder / "prompt.safetensors").is_file() else "none"

    @property
    def has_vectors(self) -> bool:
        """Availability of the vectors at both ends of training, and of those stored between."""
        return self.vectors == "all"

    @property
    def left_out(self) -> list[str]:
        """Names of what was left out of the result when the run was packed."""
        return self.packed.line.left_out if self.packed else []

    def config_text(self) -> str:
        """Read the text of ``config.toml``."""
        if self.packed:
            return self.packed.line.config
        return (self.folder / "config.toml").read_text(encoding="utf-8")

    def record(self, name: str) -> Any | None:
        """Read a JSON file beside the result, such as ``position.json``; None without it.

        Raises:
            InputError: if the file is damaged.
        """
        if (path := self.folder / name).exists():
            return read_json(path)
        return self.packed.line.records.get(name) if self.packed else None

    def has_record(self, name: str) -> bool:
        """Presence of a JSON file beside the result, whole or damaged."""
        there = self.packed is not None and name in self.packed.line.records
        return there or (self.folder / name).exists()

    def records(self) -> dict[str, Any]:
        """Read all JSON files beside the result, by name.

        Raises:
            InputError: if one is damaged.
        """
        names = {path.name for path in self.folder.glob("*.json")} - {"result.json"}
        names |= set(self.packed.line.records) if self.packed else set()
        return {name: self.record(name) for name in sorted(names)}

    def write_record(self, name: str, value: Any) -> None:
        """Write a JSON file beside the result; a packed run gets a folder for it."""
        self.folder.mkdir(exist_ok=True)
        write_json(self.folder / name, value)

    def metadata(self) -> dict[str, Any]:
        """Read the metadata of ``prompt.safetensors``: format, mode, the model's revision.

        Raises:
            InputError: if the file is damaged, or the run was packed without its vectors.
        """
        if not self.packed:
            return read_tensors(self.folder / "prompt.safetensors")[1]
        if self.packed.line.about is None:
            raise InputError(
                f"run {self.id} was packed without its vectors ({self.packed.pack}); take another "
                "run, or train it again in another folder"
            )
        return self.packed.line.about
