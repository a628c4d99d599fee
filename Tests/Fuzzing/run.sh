#!/usr/bin/env bash
# Builds the fuzz targets once and runs each, one after the other; fails on any crash, leak, time-out or memory beyond the limit.
#
#     run.sh [SECONDS [TARGET...]]
#
# Each target first reads its committed corpus and the inputs that once broke it, then new inputs for SECONDS (default 5). What a run
# learns is kept in .build-fuzzing/corpus, what breaks a target in .build-fuzzing/found. JOBS limits the compilers that build at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-5}
shift || true
targets=("$@")
((${#targets[@]})) || targets=($(ls Tests/Fuzzing/Corpus))

Cluster/setup.sh .build-fuzzing
# SwiftPM's own option links libFuzzer's main and gives way to Swift's; the compilers' options add the sanitizers. Swift has no undefined
# behaviour sanitizer on Linux, so that one watches the C sources alone (the kernels, the YAML parser).
# -enable-testing opens the rooms' internal readers to the targets.
CLEAVE_FUZZING=1 swift build -c release ${JOBS:+--jobs "$JOBS"} --product Fuzzing --scratch-path .build-fuzzing --sanitize fuzzer \
    $(cat .build-fuzzing/libraries/flags) \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing -Xswiftc -Xclang-linker -Xswiftc -fsanitize=undefined \
    -Xcc -fsanitize=fuzzer-no-link,address,undefined -Xcc -fno-sanitize-recover=undefined

# A tmpfs for the readers that take a path. Swift's backtracer would look at a crash that libFuzzer reports already.
TMPDIR=$(mktemp -d /dev/shm/cleave-fuzzing.XXXXXX)
trap 'rm -rf "$TMPDIR"' EXIT
export TMPDIR SWIFT_BACKTRACE=enable=no
# Foundation leaks 4 kB when it reads an empty file.
echo leak:readBytesFromFile >"$TMPDIR/known-leaks"
export LSAN_OPTIONS=suppressions=$TMPDIR/known-leaks:print_suppressions=0

failed=()
for target in "${targets[@]}"; do
    mkdir -p ".build-fuzzing/corpus/$target" .build-fuzzing/found "Tests/Fuzzing/Regressions/$target"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix=".build-fuzzing/found/$target-")
    [ ! -f "Tests/Fuzzing/Dictionaries/$target.dict" ] || options+=(-dict="Tests/Fuzzing/Dictionaries/$target.dict")
    log=.build-fuzzing/found/$target.log
    if CLEAVE_FUZZ_TARGET=$target .build-fuzzing/release/Fuzzing "${options[@]}" \
        ".build-fuzzing/corpus/$target" "Tests/Fuzzing/Corpus/$target" "Tests/Fuzzing/Regressions/$target" >"$log" 2>&1; then
        echo "$target: $(tail -n 1 "$log")"
    else
        echo "$target: BROKEN"
        grep -vE '^#[0-9]|NEW_FUNC' "$log" | tail -n 60
        failed+=("$target")
    fi
done
((${#failed[@]} == 0)) || { echo "fuzzing: broken: ${failed[*]} (inputs and logs in .build-fuzzing/found)" >&2; exit 1; }
