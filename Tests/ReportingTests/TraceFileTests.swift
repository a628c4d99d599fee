// What viewers of a trace go by.

import Reporting
import Testing

@Suite struct TraceFileTests {
    /// Viewers that sort processes by their names have ranks in order, however many there are.
    @Test(arguments: [1, 2, 10, 11, 100, 1025])
    func namesSortAsRanksDo(ranks: Int) {
        let names = (0..<ranks).map { TraceFile.name(rank: $0, of: ranks, host: "a") }
        #expect(names.sorted() == names && Set(names).count == ranks)
        #expect(names.last == "rank \(ranks - 1) on a")
    }
}
