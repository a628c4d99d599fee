// The table of models in the docs against the families that there are.

import Foundation
import Testing
import Transformers

@Suite struct ModelTableTests {
    /// The families, as the refusal of an unknown one lists them.
    private func families() throws -> [String] {
        do {
            _ = try Architecture(configuration: Data(#"{"model_type": "none"}"#.utf8), source: "config.json")
        } catch .unknownModelType(_, _, let known) {
            return known
        }
        Issue.record("a model_type of no family was taken")
        return []
    }

    @Test func everyFamilyHasARowAndEveryRowAFamily() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../docs/models.md")
        let rows = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("| `") }
        #expect(rows.compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) }.sorted() == (try families()))
        #expect(rows.allSatisfy { $0.split(separator: "|", omittingEmptySubsequences: false).count == 10 }, "a row has another number of cells")
    }
}
