// The committed tokenizers and the ids that the reference library gives with them (Tests/Compatibility/make_tokenizer_fixtures.py).

import Foundation
import Testing
import Tokenizers

struct Fixture: Sendable, CustomTestStringConvertible {
    struct Case: Decodable {
        let name: String
        let text: String
        let ids: [Int32]
        let idsWithSpecialTokens: [Int32]
    }

    let name: String

    static let all = ["gpt2", "llama3", "qwen2", "llama2", "mistral", "added-tokens"].map(Fixture.init)

    var testDescription: String { name }

    func contents(of file: String) throws -> Data {
        let folder = try #require(Bundle.module.resourceURL).appending(path: "Fixtures/\(name)")
        return try Data(contentsOf: folder.appending(path: file))
    }

    func tokenizer() throws -> Tokenizer {
        try Tokenizer(json: try contents(of: "tokenizer.json"), name: name)
    }

    func cases() throws -> [Case] {
        try JSONDecoder().decode([Case].self, from: try contents(of: "expected.json"))
    }
}
