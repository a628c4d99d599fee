# Build and test Cleave. `make test` sets everything up on a fresh Debian machine.

# `MPI=mpich make build` or `... test-mpi`: with MPICH instead of Open MPI, in a build folder of its own.
MPI ?= openmpi
ifeq ($(MPI),mpich)
MPIRUN = MPIEXEC_TIMEOUT=600 mpirun.mpich -bind-to none
FOLDER = .build-mpich
else
MPIRUN = mpirun --quiet --oversubscribe --bind-to none --allow-run-as-root --timeout 600
FOLDER = .build
endif
export CLEAVE_MPI = $(MPI)
OPTIONS = -c release --scratch-path $(FOLDER)
BUILD = $(FOLDER)/release
RANKS = 1 2 3 4

# For each fuzz target.
SECONDS ?= 5

.PHONY: setup build test test-unit test-mpi test-end-to-end test-compat fuzz lint clean

setup:
	@MPI=$(MPI) Cluster/setup.sh

build: setup
	swift build $(OPTIONS) --product cleave

test: test-unit test-mpi test-end-to-end

build-tests: setup
	swift build $(OPTIONS) --build-tests

# One test after the other: the number of threads is a setting of the whole process, and some tests change it.
test-unit: build-tests
	swift test $(OPTIONS) --skip-build --no-parallel --skip MessagePassingTests --skip EndToEndTests

test-mpi: build-tests
	@set -e; for ranks in $(RANKS); do \
	    echo "== rank tests on $$ranks ranks"; \
	    OMP_NUM_THREADS=1 $(MPIRUN) -n $$ranks $(BUILD)/cleavePackageTests.xctest --testing-library swift-testing --filter MessagePassingTests; \
	done

test-end-to-end: build build-tests
	swift test $(OPTIONS) --skip-build --no-parallel --filter EndToEndTests

test-compat: build
	Tests/Compatibility/run.sh

fuzz: setup
	Tests/Fuzzing/run.sh $(SECONDS) $(TARGETS)

lint:
	swift format lint --recursive --strict Package.swift Sources Tests

clean:
	swift package clean
