// .npy files: the two versions and two types that are read, and a clear refusal of the rest.

import Testing

import Safetensors

struct NumpyArrayTests {
    /// As numpy.save writes it: the header padded with spaces and a line feed to a multiple of 64.
    private func npy(_ header: String, version: UInt8 = 1, data: [UInt8] = []) -> [UInt8] {
        let prefix = version == 1 ? 10 : 12
        let length = (prefix + header.utf8.count + 1 + 63) / 64 * 64 - prefix
        let padded = header + String(repeating: " ", count: length - header.utf8.count - 1) + "\n"
        let lengthBytes = withUnsafeBytes(of: UInt32(length).littleEndian) { Array($0.prefix(version == 1 ? 2 : 4)) }
        return [0x93] + Array("NUMPY".utf8) + [version, 0] + lengthBytes + Array(padded.utf8) + data
    }

    private func header(_ type: String = "<i4", order: String = "False", shape: String = "(2,)") -> String {
        "{'descr': '\(type)', 'fortran_order': \(order), 'shape': \(shape), }"
    }

    private func read(_ bytes: [UInt8]) throws -> NumpyArray {
        let directory = try TemporaryDirectory()
        return try NumpyArray(path: directory.write(bytes, as: "ids.npy"))
    }

    @Test(arguments: [UInt8(1), 2])
    func int32(version: UInt8) throws {
        let array = try read(npy(header(), version: version, data: [1, 2, 0, 0, 0xfe, 0xff, 0xff, 0xff]))
        #expect(array.elementType == .i32)
        #expect(try array.values(0..<array.count) == [513, -2])
    }

    @Test func int64() throws {
        let array = try read(npy(header("<i8"), data: [1, 0, 0, 0, 1, 0, 0, 0] + Array(repeating: 0xff, count: 8)))
        #expect(array.elementType == .i64)
        #expect(try array.values(0..<array.count) == [1 << 32 + 1, -1])
    }

    @Test func emptyArray() throws {
        #expect(try read(npy(header(shape: "(0,)"))).count == 0)
    }

    @Test(arguments: [
        ("<f4", "False", "(2,)", "type is '<f4'"), (">i4", "False", "(2,)", "type is '>i4'"),
        ("<u4", "False", "(2,)", "type is '<u4'"), ("<i4", "True", "(2,)", "fortran_order"),
        ("<i4", "False", "(1, 2)", "one dimension"), ("<i4", "False", "()", "one dimension"),
        ("<i4", "False", "(-2,)", "one dimension"), ("<i4", "False", "(99999999999999999999,)", "one dimension"),
        ("<i4", "False", "(3,)", "3 elements of 4 bytes, but 8 bytes"),
        ("<i4", "False", "(1,)", "1 elements of 4 bytes, but 8 bytes"),
        ("<i8", "False", "(2305843009213693953,)", "8 bytes follow"),
    ])
    func unsuitableArrays(type: String, order: String, shape: String, reason: String) throws {
        let bytes = npy(header(type, order: order, shape: shape), data: Array(repeating: 0, count: 8))
        let error = try #require(failure { try read(bytes) })
        #expect(error.kind == .malformed)
        #expect(error.reason.contains(reason), "\(error)")
    }

    @Test func brokenFiles() throws {
        let good = npy(header(), data: Array(repeating: 0, count: 8))
        let broken: [[UInt8]] = [
            [], Array(good.prefix(9)), Array(good.prefix(60)), [0] + good.dropFirst(), npy(header(), version: 3),
            npy("{'descr': '<i4'}"), npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), 'x': 1}"),
            npy("{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2,)}"),
            npy("{'descr: <i4"), npy("[]"), npy(header() + "x"), npy("{'descr': [('a', '<i4')], 'shape': (2,)}"),
            npy(""),
        ]
        for bytes in broken {
            #expect(failure { try read(bytes) }?.kind == .malformed)
        }
        #expect(failure { try NumpyArray(path: "/nonexistent.npy") }?.kind == .missing)
    }
}
