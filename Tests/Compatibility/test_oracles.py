"""The comparisons of files and of token ids, each a script of its own."""
import os
import pathlib
import subprocess
import sys

import pytest

import cleave

HERE = pathlib.Path(__file__).parent


# One rank alone needs no network; looking for one would take most of the time of these thousands of runs.
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self"}


def check(script, *arguments):
    command = [sys.executable, HERE / script, cleave.BINARY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ALONE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_safetensors(tmp_path):
    cleave.compress(tmp_path / "packed", {"max_shard_size": "2MB", "compress.symmetric": False})
    written = sorted((tmp_path / "packed").glob("*.safetensors"))
    assert len(written) > 1
    assert f"{len(written)} rewritten; 0 failures" in check("safetensors_malformed.py", "--written", *written)


@pytest.mark.skipif(not (cleave.ASSETS / "text").is_dir(), reason=f"no texts in {cleave.ASSETS}/text (CLEAVE_ASSETS)")
def test_token_ids():
    # The limit of seconds holds on a quiet machine.
    assert ", 0 faults" in check("tokenizers_ids.py", "--assets", cleave.ASSETS, "--quick", "--seconds", "5")
