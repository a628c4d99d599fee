// A tokenizer.json: loading it, and when it loads, encoding a text of many scripts.

import Foundation
import Tokenizers

extension FuzzTarget {
    static let tokenizer = FuzzTarget(name: "tokenizer") { bytes in
        expecting(TokenizerError.self) {
            let tokenizer = try Tokenizer(json: Data(bytes), name: "tokenizer.json")
            for text in texts {
                let ids = try tokenizer.encode(text)
                claim(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize }, "ids outside the vocabulary")
                let framed = try tokenizer.encode(text, addSpecialTokens: true)
                claim(framed.count >= ids.count, "special tokens take ids away")
            }
        }
    }

    private static let texts = [
        "", " ", "abab  ab\n\n 12 it's <s>Über</s> \u{1F469}\u{200D}\u{1F680} e\u{301}\u{FDFA} \u{AC00} \u{2581}x\r\n",
        String(repeating: "ab", count: 60) + String(repeating: " ", count: 70) + "\u{10FFFF}",
    ]
}
