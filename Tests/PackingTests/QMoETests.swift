// QMoE's dictionary, codewords of rows, and its format of files.
//
// Expected: the tables' digests and lengths from the published expressions; codewords of the fixture from Tests/Compatibility/qmoe_reference.py.

import Compression
import Foundation
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct QMoETests {
    private let dictionary = QMoEDictionary.shared

    private func encode(_ codes: [UInt8]) -> [UInt16] {
        var codewords = [UInt16](repeating: 0, count: codes.count / 2 + 1)
        let count = dictionary.encode(codes, count: codes.count, into: &codewords)
        #expect(count == dictionary.codewordCount(codes, count: codes.count))
        return Array(codewords.prefix(count))
    }

    /// By the system's own program.
    private func sha256(_ bytes: UnsafeRawBufferPointer) throws -> String {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("qmoe-\(UUID().uuidString)")
        try Data(bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
        process.arguments = [file.path]
        process.standardOutput = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: output.prefix(64), as: UTF8.self)
    }

    @Test func tablesAreThePublishedOnes() throws {
        #expect(dictionary.decoding.count == 2 * 65536 && dictionary.tree.count == 65537 * 9)
        #expect(try dictionary.decoding.withUnsafeBytes(sha256) == "c09862c453fe122634070a475357ff81a679aff65829d84a56f806c02a54ed45")
        #expect(try dictionary.tree.withUnsafeBytes(sha256) == "fc77a88c6c9c32a0a884b2736ac78c25239a162817d133dc8457c8f0770a8b0b")
        var lengths = [Int](repeating: 0, count: 16)
        for codeword in 0..<65536 { lengths[Int(dictionary.decoding[2 * codeword] & 15)] += 1 }
        let published: [Int] = [0, 9, 65, 233, 577, 1161, 2049, 3305, 4993, 7177, 9921, 13289, 17345, 3843, 1569, 0]
        #expect(lengths == published)
    }

    @Test func codewordsOfShortRows() {
        let pairs: [UInt16] = (0..<9).flatMap { pair -> [UInt16] in encode([UInt8(pair % 3), UInt8(pair / 3)]) }
        #expect(pairs == [0, 12, 13, 14, 326, 327, 15, 328, 329])
        #expect(encode(Array(repeating: 0, count: 28)) == [25])
        #expect(encode([1, 0, 0, 0, 2, 2, 0, 0]) == [8521])
        #expect(encode(Array(repeating: 0, count: 768)).count == 28)
        #expect(encode([]) == [])
        // An odd last weight is paired with a zero.
        #expect(encode([1]) == encode([1, 0]) && encode([0, 2, 2, 1, 1]) == encode([0, 2, 2, 1, 1, 0]))
    }

    @Test func rowsAreTheReferences() throws {
        let data = try Data(contentsOf: Bundle.module.bundleURL.appendingPathComponent("Fixtures/qmoe.bin"))
        let (rows, columns) = (64, 768), packed = rows * columns / 4
        let codes: [UInt8] = data.prefix(packed).flatMap { byte -> [UInt8] in [byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6] }
        let start = packed + 4 * (rows + 1)
        let offsets: [Int] = data.withUnsafeBytes { bytes in
            (0...rows).map { Int(bytes.loadUnaligned(fromByteOffset: packed + 4 * $0, as: Int32.self)) }
        }
        let codewords: [UInt16] = data.withUnsafeBytes { bytes in
            stride(from: start, to: bytes.count, by: 2).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self) }
        }
        #expect(codewords.count == offsets[rows])
        for row in 0..<rows {
            let own = Array(codes[row * columns..<(row + 1) * columns]), expected = Array(codewords[offsets[row]..<offsets[row + 1]])
            #expect(encode(own) == expected, "row \(row)")
            var decoded = [UInt8](repeating: 9, count: columns)
            let count = expected.withUnsafeBytes { dictionary.decode($0, into: &decoded, count: columns) }
            #expect(count == columns && decoded == own, "row \(row)")
        }
        // What the weights' own probabilities cost.
        #expect(abs(Double(16 * codewords.count) / Double(rows * columns) - 0.736) < 0.0005)
    }

    // MARK: - The format

    private static let options = QuantizationOptions(.ternary)

    /// Rows of few and of many zeros, and one of zeros alone.
    private static func tile(_ rows: Int, columns: Int) -> EncodedTile {
        let codes = (0..<rows * columns).map { place -> UInt8 in
            let row = place / columns, remainder = place * place / 7 % (3 + 4 * (row % 3))
            return row == 1 || remainder > 2 ? 0 : UInt8(remainder)
        }
        let numbers = (0..<2 * rows).map { place -> Float in Float(place + 1) * (place % 2 == 0 ? -0.125 : 0.25) }
        let tile = QuantizedTile(
            codes: Matrix(codes, rows, columns), scales: Matrix(numbers, rows, 2), zeros: Matrix(uninitialized: rows, 0), group: -1, groupOfColumn: nil,
            loss: [], energy: [], number: .ternary)
        return EncodedTile(tile, options: options)
    }

    @Test func tensorsAreAsDescribed() throws {
        let format = QMoEFormat(), sample = SampleLinear([Self.tile(64, columns: 96), Self.tile(35, columns: 96)], type: .bf16)
        #expect(format.refusal(sample.linear) == nil)
        let tensors = try format.tensors(sample.linear), codewords = try #require(sample.linear.entries)
        let shapes = ["m.down.w_comp": [codewords], "m.down.row_off": [100], "m.down.ter_minmax": [198]]
        #expect(Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }) == shapes)
        for tensor in tensors { #expect(try sample.bytes(tensor.name, format).count == tensor.byteCount, "\(tensor.name)") }
        let offsets: [Int32] = try sample.elements("m.down.row_off", format, as: Int32.self)
        #expect(offsets.first == 0 && offsets.last == Int32(codewords))
        #expect(zip(offsets, offsets.dropFirst()).allSatisfy { $0 < $1 })
        let rows = sample.tiles.map { $0.decoded().codes }
        var expected: [UInt16] = []
        for codes in rows { for row in 0..<codes.rows { expected += encode(codes.rows(row..<row + 1).elements()) } }
        #expect(try sample.elements("m.down.w_comp", format, as: UInt16.self) == expected)
        let numbers: [UInt16] = sample.tiles.flatMap { $0.scales().elements() }.map { BFloat16($0).bits }
        #expect(try sample.elements("m.down.ter_minmax", format, as: UInt16.self) == numbers)
        let zeros: [Int?] = rows.map { codes in codes.elements().count { $0 == 0 } }
        #expect(sample.tiles.map(\.zeroCount) == zeros)
        let text = try #require(try format.configuration([sample.linear], ignored: [])).text()
        #expect(text.contains(#""quant_method": "qmoe""#))
    }

    @Test func linearsComeBack() throws {
        for columns in [2, 64, 130] {
            try SampleLinear([Self.tile(64, columns: columns), Self.tile(3, columns: columns)], type: .bf16).expectComesBack(QMoEFormat())
        }
    }

    @Test func whatItCannotCarryIsRefused() throws {
        let format = QMoEFormat(), ternary = Self.tile(32, columns: 64)
        #expect(format.refusal(SampleLinear([32], columns: 64, QuantizationOptions(bits: 2, group: 32)).linear)?.contains("bits: ternary") == true)
        #expect(format.refusal(SampleLinear([ternary], transposed: true).linear)?.contains("transposed") == true)
        #expect(format.refusal(SampleLinear([Self.tile(4, columns: 63)]).linear)?.contains("63 columns") == true)
        for other in [CompressedTensorsFormat(), GPTQFormat(zeroPoints: .plain), MarlinFormat(), GGUFFormat()] as [any WeightFormat] {
            let refusal = other.refusal(SampleLinear([ternary]).linear)
            #expect(refusal != nil, "\(other)")
            if !(other is GGUFFormat) { #expect(refusal?.contains("format: qmoe") == true, "\(refusal ?? "")") }
        }
        #expect(DenseFormat().refusal(SampleLinear([ternary]).linear) == nil)
        // More codewords than offsets of 32 bits can count.
        func linear(_ codewords: Int) -> PackedLinear {
            PackedLinear(
                name: "m.up", sourceType: .bf16, isTransposed: false, rows: 1 << 20, tile: ternary.layout, tileCount: 1 << 15, entries: codewords)
        }
        #expect(try format.tensors(linear(Int(Int32.max))).map(\.name).contains("m.up.w_comp"))
        let error = #expect(throws: PackingError.self) { try format.tensors(linear(Int(Int32.max) + 1)) }
        #expect(error?.description.contains("m.up.row_off") == true)
    }

    @Test func damageIsNamed() throws {
        let format = QMoEFormat(), sample = SampleLinear([Self.tile(32, columns: 64)], type: .bf16)
        let reader = try sample.reader(format), sound = try MemoryTensors(sample, format), options = try reader.options("m.down", sound.description)
        let shape = LinearShape(rows: 32, columns: 64)
        func expectError(_ words: String, _ tensor: String, _ change: (inout [UInt8]) -> Void) throws {
            var tensors = sound, bytes = try sample.bytes(tensor, format)
            change(&bytes)
            try tensors.set(tensor, bytes)
            let error = #expect(throws: PackingError.self) { try reader.tile("m.down", rows: 0..<32, of: shape, options, in: tensors) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
        try expectError("row_off says -1 at 3", "m.down.row_off") { $0.replaceSubrange(12..<16, with: [255, 255, 255, 255]) }
        try expectError("row_off says 65536 at 5", "m.down.row_off") { $0.replaceSubrange(20..<24, with: [0, 0, 1, 0]) }
        // The longest run in place of another.
        try expectError("weights in row 0, expected 64", "m.down.w_comp") { $0.replaceSubrange(0..<2, with: [25, 0]) }
        #expect(throws: PackingError.self) { try reader.check("m.down", LinearShape(rows: 33, columns: 64), options, sound.description) }
    }

    /// Bytes of a tile that no solver made.
    @Test func codesThatAreNoneAreSeen() {
        let tile = Self.tile(4, columns: 32)
        #expect(tile.hasValidCodes)
        tile.bytes.base[3] |= 3
        #expect(!tile.hasValidCodes)
    }
}
