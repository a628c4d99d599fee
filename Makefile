# Build and test Cleave. `make test` sets everything up on a fresh Debian machine.

MPIRUN = mpirun --quiet --oversubscribe --bind-to none --allow-run-as-root --timeout 600
BUILD = .build/release
RANKS = 1 2 3 4

# For each fuzz target.
SECONDS ?= 5

.PHONY: setup build test test-unit test-mpi test-end-to-end test-compat fuzz lint clean

setup:
	@Cluster/setup.sh

build: setup
	swift build -c release --product cleave

test: test-unit test-mpi test-end-to-end

build-tests: setup
	swift build -c release --build-tests

# One test after the other: the number of threads is a setting of the whole process, and some tests change it.
test-unit: build-tests
	swift test -c release --skip-build --no-parallel --skip MessagePassingTests --skip EndToEndTests

test-mpi: build-tests
	@set -e; for ranks in $(RANKS); do \
	    echo "== rank tests on $$ranks ranks"; \
	    OMP_NUM_THREADS=1 $(MPIRUN) -n $$ranks $(BUILD)/cleavePackageTests.xctest --testing-library swift-testing --filter MessagePassingTests; \
	done

test-end-to-end: build build-tests
	swift test -c release --skip-build --no-parallel --filter EndToEndTests

test-compat: build
	Tests/Compatibility/run.sh

fuzz: setup
	Tests/Fuzzing/run.sh $(SECONDS) $(TARGETS)

lint:
	swift format lint --recursive --strict Package.swift Sources Tests

clean:
	swift package clean
