// Perplexities.

import Calibration
import MessagePassing
import Models
import Recipes
import Reporting
import TestWorld
import Testing
import Texts
import TinyModels
import Transformers

@Suite(.serialized) struct Evaluations {
    @Test func perplexityOfTheDemoModelIsThatOfATrainedModel() throws {
        let path = root + "/Demo/wikillama"
        let model = try Model(path: path, reading: .mapped, world: TestWorld.world)
        let tokens = try TokenSequences.windows(
            source: root + "/Demo/evaluation.txt", length: 64, count: 4, tokenizer: path + "/tokenizer.json", vocabularySize: 4096)
        let reports = try (0..<2).map { _ in try evaluate(model, tokens, compute: .f32, world: TestWorld.world, clock: PhaseClock()) }
        // Guessing among 4096 tokens would be 4096.
        #expect(reports[0].perplexity > 1 && reports[0].perplexity < 400)
        #expect(reports[0].perplexity == reports[1].perplexity && reports[0].tokens == 256 && reports[0].windows == 4 && reports[0].length == 64)
    }
}
