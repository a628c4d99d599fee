// Tables that pyarrow wrote (Tests/Compatibility/make_parquet_fixtures.py), and what becomes of damaged ones.

import Foundation
import Parquet
import Safetensors
import Testing

@Suite struct ParquetTests {
    private static let fixtures = Bundle.module.resourcePath! + "/Fixtures/"

    /// The formula of the script.
    private static func text(_ row: Int) -> String? {
        row % 50 == 49 ? nil : String(repeating: "row \(row % 37) ", count: row % 5) + "äöü"
    }

    private static func texts(_ path: String, _ column: String) throws -> [String?] {
        var found: [String?] = []
        try ParquetFile(path: path).forEachText(of: column) { row, bytes in
            #expect(row == found.count)
            found.append(bytes.map { String(decoding: $0, as: UTF8.self) })
            return true
        }
        return found
    }

    private static func message(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return "\(error)" }
        return nil
    }

    @Test(arguments: ["snappy", "plain", "zstd-v2", "gzip", "mixed"])
    func everyRowIsRead(name: String) throws {
        let path = Self.fixtures + name + ".parquet"
        #expect(try Self.texts(path, "text") == (0..<300).map(Self.text))
        #expect(try Self.texts(path, "other") == (0..<300).map { "\($0)" })
    }

    /// Numbers that no writer writes, which lead beyond 64 bits or below zero.
    @Test func inputsThatBrokeTheReader() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Fuzzing/Regressions/parquet"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(names.count >= 5)
        for name in names {
            let error = #expect(throws: SafetensorsError.self, "\(name)") { try Self.texts(folder + "/" + name, "text") }
            #expect(error?.kind == .malformed, "\(name): \(error.map { "\($0)" } ?? "")")
        }
    }

    /// A footer of some KiB whose names would take a GiB: a group with a long name and many columns.
    @Test func namesThatGrow() throws {
        func number(_ value: Int) -> [UInt8] { value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + number(value >> 7) }
        func element(_ name: String, children: Int) -> [UInt8] {
            [0x48] + number(name.utf8.count) + Array(name.utf8) + (children > 0 ? [0x15] + number(2 * children) : []) + [0]
        }
        let columns = 20_000
        var footer: [UInt8] = [0x15, 2, 0x19, 0xfc] + number(columns + 2) + element("schema", children: 1)
        footer += element(String(repeating: "n", count: 50_000), children: columns)
        for _ in 0..<columns { footer += element("c", children: 0) }
        footer += [0x16, 0, 0x19, 0x0c, 0]
        let length = withUnsafeBytes(of: UInt32(footer.count).littleEndian) { Array($0) }
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString).parquet").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(ParquetFile.magic + footer + length + ParquetFile.magic).write(to: URL(fileURLWithPath: path))
        #expect(Self.message { _ = try ParquetFile(path: path) }?.contains("do not describe a table") == true)
    }

    @Test func columnsAreNamed() throws {
        let table = try ParquetFile(path: Self.fixtures + "plain.parquet")
        #expect(table.textColumns == ["text", "other"])
        #expect(table.columns == ["id", "text", "other", "meta.lang", "meta.role", "tags.list.element"])
        #expect(Self.message { try table.forEachText(of: "id") { _, _ in true } }?.contains("no column id of texts") == true)
    }

    @Test func readingStopsWhereItIsTold() throws {
        var rows = 0
        try ParquetFile(path: Self.fixtures + "zstd-v2.parquet").forEachText(of: "text") { _, _ in
            rows += 1
            return rows < 75
        }
        #expect(rows == 75)
    }

    @Test(arguments: [("brotli", "is compressed by brotli"), ("delta", "the encoding DELTA_LENGTH_BYTE_ARRAY")])
    func otherWaysOfWritingAreNamed(name: String, words: String) {
        let found = Self.message { _ = try Self.texts(Self.fixtures + name + ".parquet", "text") }
        #expect(found?.contains(words) == true && found?.contains("Write it anew") == true, "\(found ?? "no error")")
    }

    private static func damaged(_ bytes: [UInt8]) throws -> String? {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString).parquet").path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return message { _ = try texts(path, "text") }
    }

    @Test func cutFilesAreRefused() throws {
        let bytes = try InputFile.bytes(of: Self.fixtures + "snappy.parquet")
        for count in [0, 3, 4, 8, 11, bytes.count / 2, bytes.count - 1] {
            let found = try Self.damaged(Array(bytes.prefix(count)))
            #expect(found?.contains("not a whole Parquet file") == true, "\(count): \(found ?? "no error")")
        }
        // Cut in the middle, with a tail that is whole.
        #expect(try Self.damaged(Array(bytes.prefix(600) + bytes.suffix(600)))?.contains("damaged") == true)
        #expect(try Self.damaged(Array(bytes.dropLast(4) + Array("PARE".utf8)))?.contains("encrypted") == true)
        #expect(try Self.damaged(Array(bytes.dropLast(8) + [255, 255, 255, 127] + ParquetFile.magic))?.contains("the file has \(bytes.count)") == true)
    }

    /// A byte may change a text without harm to the format; otherwise there is one error, and never a crash or endless work.
    @Test(arguments: ["snappy", "zstd-v2", "mixed", "plain", "gzip"])
    func aChangedByteEndsInTextsOrInAnError(name: String) throws {
        let bytes = try InputFile.bytes(of: Self.fixtures + name + ".parquet")
        var errors = 0
        for index in stride(from: 4, to: bytes.count - 8, by: 41) {
            var changed = bytes
            changed[index] ^= UInt8(1 << (index / 41 % 8))
            guard let found = try Self.damaged(changed) else { continue }
            errors += 1
            #expect(found.contains(".parquet: "), "\(found)")
        }
        #expect(errors > 10)
    }
}
