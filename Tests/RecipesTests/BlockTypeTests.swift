// Types of blocks in recipes: what follows for settings that are left out, and which type a linear gets.

import Compression
import Recipes
import Testing

@Suite struct BlockTypeTests {
    private static func treatment(_ compress: String) throws -> Treatment {
        try Recipe(yaml: "model: m\noutput: o\ncalibration: {source: c}\ncompress: \(compress)\nformat: gguf", file: "r.yaml").rules[0].treatment
    }

    @Test func defaults() throws {
        let solved = try Self.treatment("{type: q4_k}")
        #expect(
            solved.type == .q4_k && solved.bits == 4 && solved.group == 256 && solved.grid == .hessian && solved.actOrder == .groups && !solved.staticGroups)
        let options = try #require(solved.options(scaleType: .f16))
        #expect(options.number == .q4_k && options.group == 256 && options.widthOfWholeGroups == 256 && options.scaleType == .f16)
        try options.validate()
        #expect(try Self.treatment("{type: q6_k, method: rtn}").grid == .mse)
        let ordered = try Self.treatment("{type: q5_1, act_order: true}")
        #expect(ordered.staticGroups && ordered.group == 32)
        try #require(ordered.options(scaleType: .f16)).validate()
    }

    @Test func typesOfEmbeddingAndHead() throws {
        func recipe(_ rest: String) throws -> Recipe {
            try Recipe(yaml: "model: m\noutput: o\ncalibration: {source: c}\ncompress: {type: q4_k}\n\(rest)", file: "r.yaml")
        }
        #expect(try recipe("format: gguf").gguf == GGUFSettings())
        let settings = try recipe("format: gguf\ngguf: {token_embedding_type: iq4_nl, output_tensor_type: bf16}").gguf
        #expect(settings.tokenEmbeddingType?.blocks == .iq4_nl && settings.outputTensorType?.rawValue == "bf16" && settings.outputTensorType?.blocks == nil)
        for (text, part) in [
            ("format: gguf\ngguf: {output_tensor_type: int}", "one of f32, bf16, f16, q8_0"),
            ("format: dense\ngguf: {output_tensor_type: q8_0}", "goes with `format: gguf`"),
            ("format: gguf\ngguf: {output_type: q8_0}", "output_tensor_type"),
        ] {
            let error = #expect(throws: RecipeError.self) { try recipe(text) }
            #expect(error.map { "\($0)".contains(part) } == true, "\(String(describing: error))")
        }
    }

    /// llama.cpp's own replacements.
    @Test func typesThatTakeAnothersPlace() throws {
        let expected: [(NumberType, NumberType)] = [
            (.q6_k, .q8_0), (.q5_k, .q5_1), (.q4_k, .q5_0), (.q3_k, .q4_0), (.q2_k, .q4_0), (.q8_0, .q8_0), (.iq4_nl, .iq4_nl),
        ]
        for (asked, given) in expected {
            let treatment = try Self.treatment("{type: \(asked.rawValue)}")
            #expect(try treatment.fitting(columns: 512) == treatment)
            let fitted = try treatment.fitting(columns: 704)
            #expect(fitted.type == given && fitted.group == 32 && fitted.bits == given.blocks?.bits)
            #expect(throws: UnfitColumns.self) { try treatment.fitting(columns: 720) }
        }
        let integers = try Recipe(yaml: "model: m\noutput: o\ncalibration: {source: c}", file: "r.yaml").rules[0].treatment
        #expect(try integers.fitting(columns: 7) == integers)
    }
}
