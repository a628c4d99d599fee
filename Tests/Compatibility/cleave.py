"""The cleave command, as the compatibility tests call it."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CLEAVE_BINARY", str(ROOT / ".build/release/cleave"))
ASSETS = pathlib.Path(os.environ.get("CLEAVE_ASSETS", ROOT.parent / "shared"))
MODEL = ROOT / "Demo/wikillama"
EVALUATION = dict(data=ROOT / "Demo/evaluation.txt", length=256, sequences=20)
MPIRUN = ["mpirun", "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--allow-run-as-root", "--timeout", "300"]


def run(*arguments, code=0, ranks=2):
    """Runs a verb in the repository's folder, without mpirun where `ranks` is None; fails when it ends with another exit code."""
    launcher = [] if ranks is None else [*MPIRUN, "-n", str(ranks)]
    done = subprocess.run([*launcher, BINARY, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, f"{' '.join(map(str, arguments))}: ended with {done.returncode} instead of {code}\n{done.stderr}"
    return done


def compress(output, settings, code=0):
    """Compresses by the demo's recipe with some settings changed, a dictionary from paths to values."""
    changes = {"evaluation.sequences": 1} | settings
    options = [part for path, value in changes.items() for part in ("--set", f"{path}={json.dumps(value)}")]
    return run("compress", "Configs/demo.yaml", *options, "--output", output, code=code)


def report(output):
    return json.loads((output / "cleave/report.json").read_text())


def perplexity(directory, data, length, sequences):
    done = run("eval", directory, "--data", data, "--length", length, "--sequences", sequences, "--json")
    return json.loads(done.stdout)["perplexity"]
