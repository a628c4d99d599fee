"""Random configurations of every family: Cleave computes what transformers computes, or refuses a key by its name."""
import ast
import os
import pathlib
import subprocess
import sys

import pytest

from random_configurations import FAMILIES

SCRIPT = pathlib.Path(__file__).with_name("random_configurations.py")
# More by hand: CLEAVE_CONFIGURATIONS=1000, or the script.
COUNT = int(os.environ.get("CLEAVE_CONFIGURATIONS", 16))


# A process takes longer to start than a family's cases take.
GROUPS = 4


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_configurations(group):
    families = list(FAMILIES)[group::GROUPS]
    arguments = [part for family in families for part in ("--family", family)]
    # In a process of its own: what other tests import (GPTQModel) changes transformers.
    done = subprocess.run([sys.executable, SCRIPT, *arguments, "--count", str(COUNT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = {family: ast.literal_eval(verdicts) for family, verdicts in (line.split(" ", 1) for line in done.stdout.splitlines()[-len(families):])}
    assert list(found) == families
    # Not all of them refused: that would say little. Families with many keys have few cases without a wrong value.
    few = {family: verdicts for family, verdicts in found.items() if sum(verdicts.values()) != COUNT or verdicts.get("same", 0) < COUNT // 8}
    assert not few
