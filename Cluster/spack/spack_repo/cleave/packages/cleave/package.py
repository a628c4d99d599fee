# Cleave for Spack, built from the tree that this file lies in:
#
#     spack repo add Cluster/spack/spack_repo/cleave
#     spack dev-build cleave@main
#
# Swift 6.1 or later has to be on the PATH: Spack has no package of it.
import pathlib

from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class Cleave(MakefilePackage):
    """A distributed, sharded compressor for language models over MPI."""

    git = str(pathlib.Path(__file__).resolve().parents[6])

    license("Apache-2.0")

    version("main", branch="main")

    depends_on("c", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("openmpi@4.1:5")
    depends_on("openblas@0.3.20: threads=openmp")
    depends_on("onednn@2.2: cpu_runtime=omp")
    depends_on("xxhash@0.8:")
    depends_on("oniguruma@6.9:")
    depends_on("zlib-api")
    depends_on("zstd@1.4:")
    depends_on("snappy@1.1:+shared")

    def edit(self, spec, prefix):
        if which("swift") is None:
            raise InstallError("Swift 6.1 or later has to be on the PATH (https://www.swift.org/install/linux)")

    def build(self, spec, prefix):
        # SwiftPM runs its own jobs, and make none beside them.
        make("build", parallel=False)

    def install(self, spec, prefix):
        make("install", f"PREFIX={prefix}", parallel=False)
