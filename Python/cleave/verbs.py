"""The program's verbs as functions."""
from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Union

from .errors import UsageError, error_of
from .events import Event, EventFile, bar
from .program import command, environment, output_of
from .reports import Report, load_report

Path = Union[str, "os.PathLike[str]"]
#: A file, or what would stand in one.
Recipe = Union[Path, Mapping[str, Any]]

# Seconds between two looks at the events.
_INTERVAL = 0.2


def _settings(settings: Mapping[str, Any] | None) -> list[str]:
    # JSON is YAML.
    return [part for path, value in (settings or {}).items() for part in ("--set", f"{path}={json.dumps(value)}")]


def _recipe(recipe: Recipe, folder: str) -> str:
    """The path of a recipe, written into `folder` where it is none yet."""
    if not isinstance(recipe, Mapping):
        return os.fspath(recipe)
    path = pathlib.Path(folder) / "recipe.yaml"
    path.write_text(json.dumps(recipe, indent=2))
    return str(path)


def _arguments(recipe: str, model: Path | None, output: Path | None, settings: Mapping[str, Any] | None) -> list[str]:
    named = [("--model", model), ("--output", output)]
    return [recipe, *(part for name, path in named if path is not None for part in (name, os.fspath(path))), *_settings(settings)]


def plan(
    recipe: Recipe, *, model: Path | None = None, output: Path | None = None, settings: Mapping[str, Any] | None = None,
    ranks: Sequence[int] = (), options: Sequence[str] = (),
) -> dict[str, Any]:
    """What a run would do, hold and take: the value that ``cleave plan --json`` prints.

    Args:
        recipe: a YAML file, or a mapping with the same keys.
        model, output: in place of the recipe's.
        settings: changes by path, such as ``{"compress.bits": 3}``.
        ranks: numbers of ranks to plan for.
        options: further ones of ``cleave plan``.

    Raises:
        CleaveError: as the program's exit code says.
    """
    with tempfile.TemporaryDirectory(prefix="cleave-") as folder:
        numbers = ["--ranks", ",".join(map(str, ranks))] if ranks else []
        value: dict[str, Any] = json.loads(
            output_of(["plan", *_arguments(_recipe(recipe, folder), model, output, settings), *numbers, *options, "--json"]))
        return value


def compress(
    recipe: Recipe, *, output: Path, model: Path | None = None, settings: Mapping[str, Any] | None = None, ranks: int | None = None,
    threads: int | None = None, hostfile: Path | None = None, launcher: str | None = None, launcher_options: Sequence[str] = (),
    options: Sequence[str] = (), progress: bool | Callable[[Event], None] = True,
) -> Report:
    """Compresses a model; a call with the same arguments goes on with a run that was interrupted.

    Args:
        recipe: a YAML file, or a mapping with the same keys.
        output: directory of the result; on a file system that all hosts share.
        model, settings: as of `plan`.
        ranks: MPI ranks, started by mpirun, or by srun inside a Slurm job; None: one process without a launcher.
        threads: of each rank.
        hostfile, launcher, launcher_options: of the launcher; `launcher` is its name, in place of the one that is found.
        options: further ones of ``cleave compress``.
        progress: True for a bar of tqdm; or a function that gets each event, as docs/guarantees.md describes them; False for neither.

    Returns:
        The report of the run.

    Raises:
        CleaveError: as the exit code says; `StoppedError` when the same call will go on.
        ImportError: progress is True, and tqdm is not there.
    """
    if ranks is not None and ranks < 1:
        raise UsageError(64, f"ranks must be at least 1, found {ranks}")
    show: Callable[[Event], None] = progress if callable(progress) else lambda _: None
    close: Callable[[], None] = lambda: None
    if progress is True:
        show, close = bar()
    target = pathlib.Path(output)
    try:
        # Rank 0 may be on another host: the recipe lies beside the output, which all hosts see, and so do the events.
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cleave-", dir=target.parent) as folder, tempfile.TemporaryFile() as printed, \
                tempfile.TemporaryFile() as said:
            arguments = ["compress", *_arguments(_recipe(recipe, folder), model, output, settings), *options, "--json"]
            if threads is not None:
                arguments += ["--threads", str(threads)]
            events = EventFile(target / "cleave/events.jsonl")
            for _ in events.new():  # of earlier attempts
                pass
            line = command(arguments, ranks, hostfile, launcher, list(launcher_options))
            process = subprocess.Popen(line, stdout=printed, stderr=said, env=environment())
            try:
                _follow(process, events, show)
            except BaseException:
                # The launcher ends its ranks; what is committed is kept.
                process.send_signal(signal.SIGTERM)
                process.wait()
                raise
            if process.returncode != 0:
                raise error_of(process.returncode, *map(_text, (printed, said)))
        return load_report(target)
    finally:
        close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _follow(process: subprocess.Popen[bytes], events: EventFile, show: Callable[[Event], None]) -> None:
    """Shows events until the process has ended."""
    while True:
        try:
            process.wait(_INTERVAL)
        except subprocess.TimeoutExpired:
            pass
        for event in events.new():
            show(event)
        if process.returncode is not None:
            return
