# Build and test Cleave. `make test` installs what is missing on a fresh Debian or Ubuntu machine, as `make setup` does; other targets install nothing.

# `MPI=mpich make build` or `... test-mpi`: with MPICH instead of Open MPI, in a build folder of its own.
MPI ?= openmpi
ifeq ($(MPI),mpich)
MPIRUN = MPIEXEC_TIMEOUT=600 mpirun.mpich -bind-to none
FOLDER = .build-mpich
else
MPIRUN = mpirun --map-by slot:OVERSUBSCRIBE --bind-to none --allow-run-as-root --timeout 600
FOLDER = .build
endif
export CLEAVE_MPI = $(MPI)
# What Cluster/setup.sh has found to tell SwiftPM of the libraries.
OPTIONS = -c release --explicit-target-dependency-import-check error --scratch-path $(FOLDER) $$(cat $(FOLDER)/libraries/flags)
BUILD = $(FOLDER)/release
RANKS = 1 2 3 4

# For each fuzz target.
SECONDS ?= 5
# Which of the end-to-end tests.
FILTER ?= EndToEndTests
# For install: where, and a folder to put that in.
PREFIX ?= /usr/local
DESTDIR ?=
# For test-platform: a release of Debian or Ubuntu.
RELEASE ?= trixie

.PHONY: setup libraries build install dist test test-unit test-mpi test-end-to-end test-platform test-compat fuzz lint clean

setup:
	@MPI=$(MPI) Cluster/setup.sh --install $(FOLDER)

libraries:
	@MPI=$(MPI) Cluster/setup.sh $(FOLDER)

build: libraries
	swift build $(OPTIONS) --product cleave

install: build
	Cluster/install.sh $(BUILD)/cleave $(DESTDIR)$(PREFIX)

dist: build
	Cluster/dist.sh $(BUILD)/cleave

test: setup
	@$(MAKE) test-unit test-mpi test-end-to-end

build-tests: libraries
	swift build $(OPTIONS) --build-tests

# One test after the other: the number of threads is a setting of the whole process, and some tests change it.
test-unit: build-tests
	swift test $(OPTIONS) --skip-build --no-parallel --skip MessagePassingTests --skip EndToEndTests

test-mpi: build-tests
	@set -e; for ranks in $(RANKS); do \
	    echo "== rank tests on $$ranks ranks"; \
	    OMP_NUM_THREADS=1 $(MPIRUN) -n $$ranks $(BUILD)/cleavePackageTests.xctest --testing-library swift-testing --filter MessagePassingTests; \
	done

# As many suites at a time as there are cores: a launcher spends half of its time waiting.
test-end-to-end: build build-tests
	swift test $(OPTIONS) --skip-build --parallel --filter '$(FILTER)'

test-platform:
	Tests/Platforms/run.sh $(RELEASE)

test-compat: build
	Tests/Compatibility/run.sh

fuzz:
	Tests/Fuzzing/run.sh $(SECONDS) $(TARGETS)

lint:
	swift format lint --recursive --strict Package.swift Sources Tests

clean:
	swift package clean
