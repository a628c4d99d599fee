#!/usr/bin/env bash
# Holds Cleave's results against the programs that read them: transformers, compressed-tensors, safetensors, tokenizers.
#
#     run.sh [PYTEST-ARGUMENTS]
#
# Needs python3 with pip, and the built command. Installs the clients from PyPI into .venv-compat, once for each requirements.txt, and chromium
# by apt-get where there is no browser. Environment:
#   CLEAVE_PYTHON   a Python that has the packages of requirements.txt; none are installed then
#   CLEAVE_BINARY   the command to test (default .build/release/cleave)
#   CLEAVE_SCREENSHOTS   a folder for screenshots of the pages of runs
#   CLEAVE_ASSETS   a folder of larger texts and models (default ../shared); tests that need it are skipped without
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

fail() {
    echo "run.sh: $*" >&2
    exit 69
}

CLEAVE_BINARY=$(realpath -m "${CLEAVE_BINARY:-.build/release/cleave}")
CLEAVE_ASSETS=$(realpath -m "${CLEAVE_ASSETS:-../shared}")
export CLEAVE_BINARY CLEAVE_ASSETS
[ -x "$CLEAVE_BINARY" ] || fail "$CLEAVE_BINARY is missing; \`make build\` builds it"

python=${CLEAVE_PYTHON:-$PWD/.venv-compat/bin/python}
installed=.venv-compat/requirements.txt
if [ -z "${CLEAVE_PYTHON:-}" ] && ! cmp -s "$here/requirements.txt" "$installed"; then
    echo "run.sh: installing the clients into .venv-compat (2 GB to download the first time)" >&2
    # Debian ships pip and ensurepip apart; the machine's own pip can fill an environment that has none.
    python3 -m venv --clear --without-pip .venv-compat || fail "python3 cannot make a virtual environment"
    python3 -m pip --version >/dev/null || fail "pip is needed: apt-get install python3-pip"
    python3 -m pip --python "$python" install --quiet --no-deps --requirement "$here/requirements.txt" || fail "pip could not install the clients"
    cp "$here/requirements.txt" "$installed"
fi

# Pages of runs are looked at in a browser.
if ! command -v chromium chromium-browser google-chrome >/dev/null; then
    command -v apt-get >/dev/null || fail "a browser is needed: chromium"
    elevate=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "run as root: apt-get install chromium"
        elevate=(sudo)
    fi
    echo "run.sh: installing chromium" >&2
    log=$(mktemp)
    if ! { "${elevate[@]}" apt-get update &&
        "${elevate[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install chromium (its log: $log)"
    fi
    rm -f "$log"
fi

# Ranks and torch share the cores.
# GPTQModel would compile a kernel for every shape, which takes most of a test's time.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TORCHDYNAMO_DISABLE=1 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONDONTWRITEBYTECODE=1
# Two tests at a time: the ranks of one compute while Python loads the clients' models for the other.
exec "$python" -m pytest -p no:cacheprovider -n 2 -W "ignore:You passed .quantization_config:UserWarning" -rs --durations=10 "$@" "$here"
