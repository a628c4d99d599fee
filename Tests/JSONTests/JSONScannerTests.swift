// The scanner alone: values it reads, and where it stops at text that is not JSON.

import JSON
import Testing

struct JSONScannerTests {
    private func scanner(_ text: String) -> JSONScanner { JSONScanner(Array(text.utf8)) }

    @Test(arguments: [
        (#""""#, ""), (#""plain""#, "plain"), (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
        (#""\u00e9é\uD83D\uDE00x""#, "éé😀x"), (#""\u0000""#, "\0"),
    ])
    func strings(text: String, value: String) throws {
        var scanner = scanner(text)
        #expect(try scanner.string() == value)
        try scanner.end()
    }

    @Test(arguments: [
        (#""\ud83d""#, 1), (#""\ud83d\n""#, 1), (#""\ud83dA""#, 1), (#""\ude00""#, 1), (#""\u12g4""#, 5), (#""abc"#, 0),
    ])
    func badStrings(text: String, offset: Int) {
        var scanner = scanner(text)
        let error = #expect(throws: JSONError.self) { try scanner.string() }
        #expect(error?.offset == offset)
    }

    @Test func integers() throws {
        var scanner = scanner("[0, 7,\t9223372036854775807]")
        var values: [Int] = []
        try scanner.array { (scanner) throws(JSONError) in values.append(try scanner.unsignedInteger()) }
        #expect(values == [0, 7, .max])
    }

    @Test(arguments: ["-1", "1.5", "1e3", "9223372036854775808", "00", "-", "1.", "1e", "+1", ".5", "null", ""])
    func badIntegers(text: String) {
        var scanner = scanner(text)
        #expect(throws: JSONError.self) { try scanner.unsignedInteger() }
    }

    @Test(arguments: ["[1,-0.5e+10,\"x\",{\"a\":[]},true,false,null]", " {} ", "3"])
    func skipsAnyValue(text: String) throws {
        var scanner = scanner(text)
        try scanner.skipValue()
        try scanner.end()
    }

    @Test(arguments: [
        "[1,]", "[1 2]", "{\"a\" 1}", "{a:1}", "tru", "nul", "NaN", "1e999", "{\"a\":1,\"a\":2}", "[", "{\"a\":}",
        "'a'", "\u{feff}1",
    ])
    func skipsNothingElse(text: String) {
        var scanner = scanner(text)
        #expect(throws: JSONError.self) {
            try scanner.skipValue()
            try scanner.end()
        }
    }

    @Test func depthIsLimited() throws {
        var allowed = scanner(String(repeating: "[", count: 127) + String(repeating: "]", count: 127))
        try allowed.skipValue()
        var refused = scanner(String(repeating: "[", count: 128) + String(repeating: "]", count: 128))
        #expect(throws: JSONError.self) { try refused.skipValue() }
    }
}
