// Few files, written in large pieces, several ranks at once; metadata read by one rank alone. What a rank must not do is made to fail there.

import Foundation
import Testing

@Suite(.serialized) struct FilesTests {
    private let rounding = ["compress.method=rtn", "compress.grid=minmax", "calibration=null"]

    @Test(arguments: [1, 3]) func oneFileForEachRankAndBlockHoldsAllItsTiles(ranks: Int) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let run = try SmallRun.compress(output, flags: ["--no-merge"], ranks: ranks)
        try #require(run.exitCode == 0, "\(run.errors)")
        let names = try FileManager.default.contentsOfDirectory(atPath: output + "/cleave/partial")
        // Every rank has tiles of each of the 8 blocks.
        #expect(names.sorted() == (0..<8).flatMap { block in (0..<ranks).map { "block-\(block).attempt-1.rank-\($0).safetensors" } }.sorted())
        #expect(try SmallRun.tiles(output).solved == SmallRun.committedTiles(output))
    }

    /// Of each file of less than 8 MiB the second write would fail.
    @Test func filesAreWrittenInLargePieces() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        for (index, path) in ["block-0", "model-00001-of", "model-00003-of"].enumerated() {
            let fault = Fault(call: .write, path: path, number: 2, action: .error(ENOSPC))
            let run = try SmallRun.compress("\(directory.path)/\(index)", rounding, ranks: 1, environment: fault.environment(library))
            #expect(run.exitCode == 0, "\(fault): \(run.errors)")
            let first = Fault(call: .write, path: path, number: 1, action: .error(ENOSPC))
            #expect(
                try SmallRun.compress("\(directory.path)/\(index)-first", rounding, ranks: 1, environment: first.environment(library)).exitCode == 73,
                "\(first)")
        }
    }

    /// Shards go to the ranks in turn: nobody else opens them for writing, and each rank fails on its own alone.
    @Test func everyRankWritesShardsOfItsOwn() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        for shard in 1...3 {
            for rank in 0..<3 {
                let fault = Fault(call: .open, path: "model-0000\(shard)-of", action: .error(EACCES), rank: rank)
                let run = try SmallRun.compress("\(directory.path)/\(shard)-\(rank)", rounding, ranks: 3, environment: fault.environment(library))
                #expect(run.exitCode == (shard - 1 == rank ? 73 : 0), "\(fault): \(run.errors)")
            }
        }
    }

    @Test func headersAreReadByTheCoordinatorAlone() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        for (rank, code) in [(0, Int32(74)), (1, 0), (2, 0)] {
            let fault = Fault(call: .header, path: "Demo/wikillama", action: .error(EIO), rank: rank)
            for access in ["mapped", "pread"] {
                let run = try SmallRun.compress(
                    "\(directory.path)/\(rank)-\(access)", rounding, flags: ["--weights", access], ranks: 3, environment: fault.environment(library))
                #expect(run.exitCode == code, "\(fault), \(access): \(run.errors)")
            }
        }
    }
}
