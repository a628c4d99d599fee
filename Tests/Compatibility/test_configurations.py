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


@pytest.mark.parametrize("family", FAMILIES)
def test_random_configurations(family):
    # In a process of its own: what other tests import (GPTQModel) changes transformers.
    done = subprocess.run([sys.executable, SCRIPT, "--family", family, "--count", str(COUNT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    verdicts = ast.literal_eval(done.stdout.splitlines()[-1].removeprefix(family))
    # Not all of them refused: that would say little. Families with many keys have few cases without a wrong value.
    assert sum(verdicts.values()) == COUNT and verdicts.get("same", 0) >= COUNT // 8, verdicts
