// JSON as it is written, and as it is read to be written again.

import JSON
import Testing

@Suite struct JSONValueTests {
    @Test func keysKeepTheirOrder() {
        let value: JSONValue = ["b": 1, "a": [nil, true, false, -2, 0.5, []], "c": [:], "d": ["x": "y"]]
        #expect(
            value.text() == """
                {
                  "b": 1,
                  "a": [
                    null,
                    true,
                    false,
                    -2,
                    0.5,
                    []
                  ],
                  "c": {},
                  "d": {
                    "x": "y"
                  }
                }

                """)
    }

    @Test(arguments: [
        ("plain é 😀 /", #""plain é 😀 /""#), ("\"\\\n\r\t", #""\"\\\n\r\t""#), ("\u{0}\u{1f}\u{8}", #""\u0000\u001f\b""#),
        ("a\u{301}\r\n", "\"a\u{301}\\r\\n\""),
    ])
    func textsAreEscaped(text: String, json: String) throws {
        #expect(JSONValue.string(text).text() == json + "\n")
        #expect(try JSONValue(parsing: Array(json.utf8)).text() == json + "\n")
    }

    /// A client's config.json must mean the same after it went through: numbers stay whole or fractional, booleans booleans.
    @Test(arguments: [
        "0", "-1", "9223372036854775807", "0.0", "10000.0", "-1.5", "1e-05", "1e+20", "true", "false", "null", #""1.0""#, "0.02", "1000000.0",
    ])
    func valuesSurvive(json: String) throws {
        #expect(try JSONValue(parsing: Array(json.utf8)).text() == json + "\n")
    }

    @Test func parsedKeysAreSorted() throws {
        let value = try JSONValue(parsing: Array(#"{"z": {"b": [1, 0], "a": true}, "a": 1.5}"#.utf8))
        #expect(value.text() == "{\n  \"a\": 1.5,\n  \"z\": {\n    \"a\": true,\n    \"b\": [\n      1,\n      0\n    ]\n  }\n}\n")
        #expect(value.setting("m", 3).setting("a", nil).text().hasPrefix("{\n  \"a\": null,\n  \"m\": 3,\n  \"z\": {"))
        #expect(JSONValue.integer(1).setting("a", 2).text() == "1\n")
    }

    @Test(arguments: ["", "{", "{\"a\" 1}", "[1 2]", "nul", "{\"a\":1} x", "{\"a\":1,\"a\":2}", "[1e999]"])
    func whatIsNoJSONIsRefused(json: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array(json.utf8)) }
    }

    @Test func faultsHaveALine() {
        let text = Array("{\n\"a\": 1,\n\"a\": 2}".utf8)
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(error == JSONError(offset: 10, reason: "duplicate key \"a\"") && error?.line(in: text) == 3)
    }

    /// Keys that Swift takes for equal, and integers beyond 64 bits.
    @Test func valuesAsTheyAreInTheText() throws {
        var scanner = JSONScanner(Array("{\"\u{e9}\": 1, \"e\u{301}\": -2, \"z\": 9223372036854775808}".utf8))
        let members = try #require(try scanner.value(allowsEqualKeys: true).object)
        #expect(members.map { Array($0.key.utf8) } == [[0xc3, 0xa9], [0x65, 0xcc, 0x81], [0x7a]])
        #expect(members.map(\.value.integer) == [1, -2, nil] && members[2].value.kind == "a number")
    }

    @Test func numbersThatJSONDoesNotHaveAreNull() {
        #expect(JSONValue.number(.nan).text() == "null\n" && JSONValue.number(.infinity).text() == "null\n")
    }
}
