"""The report of a run as the program wrote it."""
from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import BadInputError, MissingInputError


class Report(Mapping[str, Any]):
    """The keys of ``report.json``, and where the result lies.

    Attributes:
        output: the directory of the result.
    """

    def __init__(self, output: pathlib.Path, values: dict[str, Any]) -> None:
        self.output = output
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Report of {self.output}: {len(self.linears)} linears, {self.get('wallSeconds', 0):.0f} s>"

    @property
    def linears(self) -> list[dict[str, Any]]:
        """What was found of each linear: name, method, bits, relativeOutputError, damping and more."""
        return self._values.get("linears") or []

    @property
    def perplexity(self) -> tuple[float, float] | None:
        """Of the source and of the result; None for a recipe without `evaluation`."""
        before, after = self._values.get("before"), self._values.get("after")
        return (before["perplexity"], after["perplexity"]) if before and after else None

    @property
    def page(self) -> pathlib.Path:
        """The page for people."""
        return self.output / "cleave/report.html"


def load_report(directory: str | os.PathLike[str]) -> Report:
    """The report of the run whose output is `directory`.

    Raises:
        MissingInputError: there is none.
        BadInputError: it is damaged.
    """
    output = pathlib.Path(directory)
    path = output / "cleave/report.json"
    try:
        return Report(output, json.loads(path.read_text()))
    except FileNotFoundError:
        raise MissingInputError(66, f"{path} is missing: {output} holds no run of Cleave that has ended") from None
    except ValueError as error:
        raise BadInputError(65, f"{path} is damaged: {error}") from None
