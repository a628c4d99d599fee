// Files that gzip and zstd have compressed, read back in pieces, and damaged ones.

import CZstd
import Decompression
import Foundation
import Safetensors
import Testing

@Suite struct DecompressionTests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// What the other side makes of bytes: the program gzip, or the library's own compressor.
    private enum Compressor: CaseIterable {
        case gzip1, gzip9, zstd3, zstd22

        func callAsFunction(_ bytes: [UInt8], in folder: String, windowLog: Int32 = 0) throws -> [UInt8] {
            switch self {
            case .gzip1, .gzip9:
                try Data(bytes).write(to: URL(fileURLWithPath: folder + "/input"))
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/bin/sh")
                process.arguments = ["-c", "gzip -c \(self == .gzip1 ? "-1" : "-9") input > output"]
                process.currentDirectoryURL = URL(fileURLWithPath: folder)
                try process.run()
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
                return try InputFile.bytes(of: folder + "/output")
            case .zstd3, .zstd22:
                let context = ZSTD_createCCtx()
                defer { ZSTD_freeCCtx(context) }
                ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, self == .zstd3 ? 3 : 22)
                ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, windowLog)
                // As the program zstd does.
                ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
                var target = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
                let count = ZSTD_compress2(context, &target, target.count, bytes, bytes.count)
                #expect(ZSTD_isError(count) == 0)
                return Array(target.prefix(count))
            }
        }
    }

    private func write(_ bytes: [UInt8], _ name: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name)) }

    /// - Parameter piece: bytes that are asked for at a time.
    private func read(_ name: String, piece: Int = 1000) throws -> [UInt8] {
        let path = folder + "/" + name
        let form = try #require(CompressedForm(start: InputFile.start(of: path)))
        let source = try DecompressedBytes(path: path, form: form)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 1)
        defer { buffer.deallocate() }
        var bytes: [UInt8] = []
        while case let count = try source.read(into: buffer), count > 0 { bytes += buffer[..<count] }
        return bytes
    }

    /// More than a piece of a file, and little of it repeated.
    private static let content = (0..<900_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }

    private func message(_ name: String) -> String {
        do { return "\(try read(name).count) bytes" } catch { return "\(error)" }
    }

    @Test(arguments: Compressor.allCases)
    private func whatIsCompressedComesBack(compressor: Compressor) throws {
        try write(compressor(Self.content, in: folder), "b")
        for piece in [4096, 1 << 20] { #expect(try read("b", piece: piece) == Self.content) }
        try write(compressor(Array(Self.content.prefix(3000)), in: folder), "b")
        #expect(try read("b", piece: 1) == Array(Self.content.prefix(3000)))
    }

    /// As `cat a.gz b.gz`, pigz and parallel writers leave them.
    @Test(arguments: [Compressor.gzip9, .zstd3])
    private func unitsStandOneBehindTheOther(compressor: Compressor) throws {
        try write(["one\n", "", "two\n"].flatMap { try compressor(Array($0.utf8), in: folder) }, "d")
        #expect(try read("d") == Array("one\ntwo\n".utf8))
    }

    @Test(arguments: [Compressor.gzip1, .zstd3])
    private func damageIsNamed(compressor: Compressor) throws {
        let whole = try compressor(Self.content, in: folder)
        for count in [4, 10, whole.count / 2, whole.count - 1] {
            try write(Array(whole.prefix(count)), "cut")
            #expect(message("cut").contains("it was cut off"), "\(count): \(message("cut"))")
        }
        try write(whole + Array("more".utf8), "longer")
        #expect(message("longer").contains("is damaged near byte \(whole.count)"), "\(message("longer"))")
        var changed = whole
        for index in 0..<64 { changed[whole.count / 2 + index] ^= 255 }
        try write(changed, "changed")
        #expect(message("changed").contains("is damaged near byte"), "\(message("changed"))")
    }

    @Test func aWindowThatIsTooLargeIsNamed() throws {
        // As long as the window, or zstd would take a smaller one.
        try write(Compressor.zstd3([UInt8](repeating: 0, count: 1 << 28), in: folder, windowLog: 28), "b")
        #expect(message("b").contains("too much memory"), "\(message("b"))")
    }
}
