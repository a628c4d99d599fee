// Numbers and tables as a terminal shows them.

import Reporting
import Testing

@Suite struct TextTests {
    @Test func columnsAreAligned() {
        var table = Table(header: ["phase", "min", "share"])
        table.add(["a", "1.25 s", "3 %"])
        table.add(["forward é", "2 s", "100 %"])
        #expect(
            table.text() == """
                phase         min  share
                ------------------------
                a          1.25 s    3 %
                forward é     2 s  100 %

                """)
    }

    @Test func rowsMayBeShorterOrLongerThanTheHeader() {
        var table = Table(header: ["a"])
        table.add(["b", "c", "d"])
        table.add([])
        #expect(table.text().split(separator: "\n", omittingEmptySubsequences: false).count == 5)
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (1_234_567, "1.23 MB"), (12_345_678, "12.3 MB"), (999_999, "1.00 MB"), (999_949, "999.9 kB"),
        (9_999_999, "10.0 MB"), (5_000_000_000, "5.00 GB"), (.max, "9223.4 PB"),
    ])
    func bytes(count: Int, text: String) {
        #expect(formatBytes(count) == text)
    }

    @Test(arguments: [
        (0, "0.00 s"), (9.994, "9.99 s"), (9.999, "10.0 s"), (12.34, "12.3 s"), (99.99, "1 min 40 s"), (245, "4 min 05 s"), (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"), (7380, "2 h 03 min"), (-1, "?"), (.nan, "?"), (.infinity, "?"),
    ])
    func seconds(seconds: Double, text: String) {
        #expect(formatSeconds(seconds) == text)
    }

    @Test func secondsOfAnySize() {
        #expect(formatSeconds(1e300).hasSuffix("h") || formatSeconds(1e300) == "?")
    }

    @Test(arguments: [
        (3.14159, 2, "3.14"), (-3.14159, 2, "-3.14"), (-0.001, 2, "0.00"), (0.005, 2, "0.01"), (2.5, 0, "3"), (0.05, 1, "0.1"), (1.999, 2, "2.00"),
        (1e14, 3, "100000000000000.000"), (.nan, 2, "nan"), (-.infinity, 2, "-inf"), (1e15, 1, "1000000000000000.0"),
    ])
    func numbers(value: Double, digits: Int, text: String) {
        #expect(format(value, digits: digits) == text)
    }

    @Test(arguments: [9.9e14, 5e13, -9.9e14])
    func numbersOfAnySizeWithManyDigits(value: Double) {
        #expect(Double(format(value, digits: 9)) == value)
    }
}
