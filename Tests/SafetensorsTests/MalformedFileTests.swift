// Every rule of the format, broken once: each such file is refused with a reason that names the rule.

import Testing

import Safetensors

struct MalformedFile: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
    /// A part of the reason.
    let reason: String

    init(_ description: String, header: String, dataCount: Int = 0, reason: String) {
        self.init(description, bytes: fileBytes(header: header, dataCount: dataCount), reason: reason)
    }

    init(_ description: String, bytes: [UInt8], reason: String) {
        self.testDescription = description
        self.bytes = bytes
        self.reason = reason
    }

    /// A header of one tensor "a", with the given texts for its fields.
    static func tensor(dtype: String = #""F32""#, shape: String = "[1]", offsets: String = "[0,4]") -> String {
        #"{"a":{"dtype":\#(dtype),"shape":\#(shape),"data_offsets":\#(offsets)}}"#
    }

    static let sizes: [Self] = [
        .init("an empty file", bytes: [], reason: "has 0 bytes"),
        .init("7 bytes", bytes: [2, 0, 0, 0, 0, 0, 0], reason: "has 7 bytes"),
        .init("a length of 0", bytes: fileBytes(header: ""), reason: "not start with '{'"),
        .init("a length of 2^64 - 1", bytes: Array(repeating: 0xff, count: 8), reason: "18446744073709551615"),
        .init(
            "a length over 100 MB", bytes: [0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0], reason: "100000000 at most"),
        .init("a length past the end", bytes: [3, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8), reason: "only 2"),
        .init("truncated data", header: tensor(), dataCount: 3, reason: "truncated"),
        .init("trailing data", header: tensor(), dataCount: 5, reason: "1 bytes follow"),
        .init("data without tensors", header: "{}", dataCount: 1, reason: "1 bytes follow"),
    ]

    static let json: [Self] = [
        .init("white space first", header: " {}", reason: "not start with '{'"),
        .init("an array", header: "[]", reason: "not start with '{'"),
        .init(
            "invalid UTF-8",
            bytes: fileBytes(header: Array(#"{"__metadata__":{"a":""#.utf8) + [0xff, 0x22, 0x7d, 0x7d]),
            reason: "invalid at byte 29: a string that is not valid UTF-8"),
        .init("no closing brace", header: "{", reason: "found the end"),
        .init("a trailing comma", header: #"{"__metadata__":{},}"#, reason: "a key"),
        .init("text behind the object", header: "{}x", reason: "the end of the text"),
        .init("a zero byte behind the object", header: "{}\0", reason: "byte 0x0"),
        .init("an unpaired surrogate", header: #"{"__metadata__":{"a":"\ud800"}}"#, reason: "surrogate"),
        .init("a control character", header: "{\"__metadata__\":{\"a\":\"\u{1}\"}}", reason: "control character"),
        .init("an unknown escape", header: #"{"__metadata__":{"a":"\x"}}"#, reason: "escape"),
        .init(
            "a tensor given twice",
            header:
                #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"#
                + #""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
            reason: "duplicate key \"a\""),
        .init(
            "a field given twice", header: #"{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
            reason: "duplicate key \"dtype\""),
        .init("metadata given twice", header: #"{"__metadata__":{},"__metadata__":{}}"#, reason: "duplicate key"),
        .init(
            "deep nesting", header: #"{"a":{"x":"# + String(repeating: "[", count: 200), reason: "nested deeper"),
    ]

    static let fields: [Self] = [
        .init("metadata with a number", header: #"{"__metadata__":{"a":1}}"#, reason: "expected a string"),
        .init("metadata as an array", header: #"{"__metadata__":[]}"#, reason: "expected an object"),
        .init("a tensor that is null", header: #"{"a":null}"#, reason: "expected an object"),
        .init("a tensor as an array", header: #"{"a":["U8",[0],[0,0]]}"#, reason: "expected an object"),
        .init("no dtype", header: #"{"a":{"shape":[0],"data_offsets":[0,0]}}"#, reason: "no dtype"),
        .init("no shape", header: #"{"a":{"dtype":"U8","data_offsets":[0,0]}}"#, reason: "no shape"),
        .init("no data_offsets", header: #"{"a":{"dtype":"U8","shape":[0]}}"#, reason: "no data_offsets"),
        .init("an unknown dtype", header: tensor(dtype: #""F31""#), dataCount: 4, reason: "unknown dtype \"F31\""),
        .init("a dtype in small letters", header: tensor(dtype: #""f32""#), dataCount: 4, reason: "unknown dtype"),
        .init("a negative dimension", header: tensor(shape: "[-1]"), dataCount: 4, reason: "whole number"),
        .init("a dimension of minus zero", header: tensor(shape: "[-0]", offsets: "[0,0]"), reason: "whole number"),
        .init("a fractional dimension", header: tensor(shape: "[1.0]"), dataCount: 4, reason: "whole number"),
        .init("a dimension with exponent", header: tensor(shape: "[1e0]"), dataCount: 4, reason: "whole number"),
        .init("a dimension with leading zero", header: tensor(shape: "[01]"), dataCount: 4, reason: "invalid number"),
        .init("a dimension of 2^64", header: tensor(shape: "[18446744073709551616]"), reason: "64-bit range"),
        .init("a dimension as text", header: tensor(shape: #"["1"]"#), dataCount: 4, reason: "expected a value"),
        .init("a product over 64 bits", header: tensor(shape: "[4294967296,4294967296]"), reason: "64 bits"),
        .init(
            "a product over 64 bits before a 0", header: tensor(shape: "[4294967296,4294967296,0]", offsets: "[0,0]"),
            reason: "64 bits"),
        .init("a size over 64 bits", header: tensor(shape: "[2305843009213693952]"), reason: "64 bits"),
    ]

    static let offsets: [Self] = [
        .init("one offset", header: tensor(offsets: "[0]"), dataCount: 4, reason: "1 numbers instead of 2"),
        .init("three offsets", header: tensor(offsets: "[0,4,8]"), dataCount: 8, reason: "3 numbers"),
        .init("an end before the beginning", header: tensor(offsets: "[4,0]"), dataCount: 4, reason: "after their end"),
        .init(
            "a size that is not the shape's", header: tensor(offsets: "[0,8]"), dataCount: 8, reason: "takes 4 bytes"),
        .init(
            "packed elements in half a byte", header: tensor(dtype: #""F4""#, shape: "[3]", offsets: "[0,2]"),
            dataCount: 2, reason: "whole bytes"),
        .init("a hole at the start", header: tensor(offsets: "[4,8]"), dataCount: 8, reason: "leaves a hole"),
        .init(
            "a hole between tensors",
            header:
                #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
                + #""b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
            dataCount: 3, reason: "leaves a hole"),
        .init(
            "an overlap",
            header:
                #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"#
                + #""b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            dataCount: 3, reason: "overlaps"),
    ]
}

struct MalformedFileTests {
    @Test(arguments: MalformedFile.sizes + MalformedFile.json + MalformedFile.fields + MalformedFile.offsets)
    func isRefusedWithTheReason(_ malformed: MalformedFile) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(malformed.bytes, as: "a.safetensors")
        for access in [Access.mapped, .pread] {
            let error = try #require(failure { try SafetensorsFile(path: path, access: access) })
            #expect(error.kind == .malformed)
            #expect(error.path == path)
            #expect(error.reason.contains(malformed.reason), "\(error)")
        }
    }

    @Test(arguments: [
        #"{}"#, #"{}   "#, #"{"__metadata__":null}"#, #"{"__metadata__":{}}"#,
        #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":[1.5e-3,true,null,{"x":"y"}]}}"#,
        #"{"\u0061\ud83d\ude00":{"dtype":"\u0055\u0038","shape":[0],"data_offsets":[0,0]}}"#,
        "{\n \"a\" : { \"dtype\" : \"U8\" , \"shape\" : [ 0 , 7 ] , \"data_offsets\" : [ 0 , 0 ] }\r\n}\t",
    ])
    func unusualButSoundHeaderIsAccepted(header: String) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(fileBytes(header: header), as: "a.safetensors")
        let file = try SafetensorsFile(path: path)
        #expect(file.entries.count == (header.contains("dtype") || header.contains("0055") ? 1 : 0))
    }
}
