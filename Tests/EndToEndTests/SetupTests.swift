// Cluster/setup.sh: how libraries are found, and when something is installed.

import Foundation
import Testing

@Suite(.serialized) struct SetupTests {
    private let directory: TemporaryDirectory
    private var folder: String { directory.path + "/build" }

    init() throws { directory = try TemporaryDirectory() }

    private func file(_ name: String) -> String? { try? String(contentsOfFile: directory.path + "/" + name, encoding: .utf8) }

    private func script(_ name: String, _ text: String) throws {
        let path = directory.path + "/" + name
        try FileManager.default.createDirectory(atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(("#!/bin/sh\n" + text + "\n").utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    /// Programs of this machine, but for those whose names begin so: what setup.sh finds on its PATH, after the scripts of this test.
    private func path(without hidden: [String] = []) throws -> String {
        let programs = directory.path + "/programs"
        try FileManager.default.createDirectory(atPath: programs, withIntermediateDirectories: true)
        for place in (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init) {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [] where !hidden.contains(where: { name.hasPrefix($0) }) {
                try? FileManager.default.createSymbolicLink(atPath: programs + "/" + name, withDestinationPath: place + "/" + name)
            }
        }
        return directory.path + "/scripts:" + programs
    }

    private func setUp(_ options: [String] = [], path: String, _ environment: [String] = []) throws -> CleaveRun {
        try CleaveProcess.run(command: ["PATH=" + path] + environment + ["Cluster/setup.sh"] + options + [folder])
    }

    /// A compiler that does not find Oniguruma until `installed` is there, and an apt-get that says what it was asked for.
    private func hideOniguruma() throws {
        let refusal = "[ -e \(directory.path)/installed ] || { echo 'error: cannot find -lonig' >&2; exit 1; }"
        try script("cc", "case \"$*\" in *-lonig*) \(refusal) ;; esac; exec cc \"$@\"")
        try script("scripts/apt-get", "echo \"$*\" >>\(directory.path)/asked; case \"$*\" in *install*) touch \(directory.path)/installed ;; esac")
        try script("scripts/sudo", "exec \"$@\"")
    }

    private static let packaging = ["apt", "dpkg", "pkg-config", "pkgconf", "x86_64-linux-gnu-pkg"]

    @Test func withoutDpkgAptAndPkgConfig() throws {
        let run = try setUp(path: try path(without: Self.packaging))
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(try #require(file("build/libraries/flags")).contains("--pkg-config-path \(folder)/libraries"))
        #expect(try #require(file("build/libraries/ompi-c.pc")).contains("-lmpi"))
        #expect(try #require(file("build/libraries/openblas.pc")).contains("-lopenblas"))
    }

    @Test func whatIsMissingIsNamedAndNotInstalled() throws {
        try hideOniguruma()
        let run = try setUp(path: try path(), ["CC=\(directory.path)/cc"])
        #expect(run.exitCode == 69)
        #expect(run.errors.contains("Oniguruma (oniguruma.h, libonig): cannot find -lonig"), "\(run.errors)")
        #expect(run.errors.contains("`make setup` installs libonig-dev;"), "\(run.errors)")
        #expect(file("asked") == nil && file("build/libraries/flags") == nil)
    }

    @Test func onlyWhatIsMissingIsInstalled() throws {
        try hideOniguruma()
        let run = try setUp(["--install"], path: try path(), ["CC=\(directory.path)/cc"])
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(file("asked") == "update\ninstall -y libonig-dev\n")
    }

    @Test func withoutAptNothingCanBeInstalled() throws {
        try hideOniguruma()
        try FileManager.default.removeItem(atPath: directory.path + "/scripts/apt-get")
        let run = try setUp(["--install"], path: try path(without: ["apt"]), ["CC=\(directory.path)/cc"])
        #expect(run.exitCode == 69)
        #expect(run.errors.contains("there is no apt-get to install with (see docs/building.md)"), "\(run.errors)")
        #expect(run.errors.contains("cannot find -lonig"), "\(run.errors)")
    }

    /// As conda and Spack keep libraries; the loader does not look there by itself.
    @Test(arguments: ["CMAKE_PREFIX_PATH=/nowhere:", "CONDA_PREFIX="])
    func librariesOfAPrefix(variable: String) throws {
        let prefix = directory.path + "/prefix"
        try script(
            "make-library",
            """
            mkdir -p \(prefix)/include \(prefix)/lib
            cp "$(echo '#include <oniguruma.h>' | cc -M -x c - | tr ' ' '\\n' | grep oniguruma.h)" \(prefix)/include/
            echo 'const char *onig_version(void) { return "another"; }' | cc -x c -shared -fPIC -Wl,-soname,libonig.so.99 -o \(prefix)/lib/libonig.so.99 -
            ln -s libonig.so.99 \(prefix)/lib/libonig.so
            """)
        try #require(CleaveProcess.run(command: [directory.path + "/make-library"]).exitCode == 0)
        try script("cc", "case \"$*\" in *-L\(prefix)/lib*) ;; *-lonig*) exit 1 ;; esac; exec cc \"$@\"")
        let run = try setUp(path: try path(), [variable + prefix, "CC=\(directory.path)/cc"])
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(try #require(file("build/libraries/oniguruma.pc")).contains("Libs: -L\(prefix)/lib -lonig"))
        #expect(try #require(file("build/libraries/flags")).contains("-Xlinker -rpath -Xlinker \(prefix)/lib"))
    }

    @Test func anotherMPIIsAUsageError() throws {
        let run = try setUp(path: try path(), ["MPI=lam"])
        #expect(run.exitCode == 64)
        #expect(run.errors.contains("MPI must be openmpi or mpich, found 'lam'"))
    }
}
