// A config.json: as an architecture, and as the description of quantized weights.

import Failures
import Foundation
import JSON
import Packing
import Transformers

@testable import Models

extension FuzzTarget {
    static let configuration = FuzzTarget(name: "configuration") { bytes in
        expecting(ArchitectureError.self) {
            let architecture = try Architecture(configuration: Data(bytes), source: "config.json")
            claim(architecture.expectedTensors().allSatisfy { $0.shape.allSatisfy { $0 > 0 } }, "an empty tensor")
            claim(architecture.blocks.allSatisfy { !$0.stages.isEmpty }, "an empty block")
            let stages = architecture.blocks.flatMap(\.stages)
            claim(stages.allSatisfy { $0.tokenShare > 0 && $0.tokenShare <= 1 && $0.columns > 0 }, "a stage without tokens")
        }
        expecting(PipelineError.self) { _ = try WeightReaders(configuration: JSONValue(configuration: bytes, of: "model"), source: "model") }
    }
}
