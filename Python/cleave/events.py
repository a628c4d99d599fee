"""The events of a run while it goes on, and the bar that shows them."""
from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

Event = dict[str, Any]


class EventFile:
    """The lines that a run appends to a file, each once it is whole."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[Event]:
        """Events since the last call; none where there is no file yet."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield json.loads(line)


def tiles_of(event: Event) -> int:
    """Tiles that an event says are done."""
    return (event.get("solved", 0) + event.get("reused", 0)) if event["event"] == "stage_end" else 0


def bar() -> tuple[Callable[[Event], None], Callable[[], None]]:
    """A bar of tqdm that counts tiles: what shows an event, and what ends it.

    Raises:
        ImportError: tqdm is not there.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]

    tiles = tqdm(unit="tile", desc="starting", dynamic_ncols=True)

    def show(event: Event) -> None:
        if event["event"] == "run_begin":
            tiles.reset(total=event["attempt"].get("tiles"))
        elif event["event"] == "phase_begin":
            tiles.set_description(event["phase"])
        elif event["event"] == "stage_begin":
            tiles.set_description(f"block {event['block'] + 1} {event['stage']}")
        tiles.update(tiles_of(event))

    return show, tiles.close
