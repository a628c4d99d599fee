// A config.json: as an architecture, and as the description of packed weights.

import Foundation
import Transformers

@testable import Pipeline

extension FuzzTarget {
    static let configuration = FuzzTarget(name: "configuration") { bytes in
        expecting(ArchitectureError.self) {
            let architecture = try Architecture(configuration: Data(bytes), source: "config.json")
            claim(architecture.expectedTensors().allSatisfy { $0.shape.allSatisfy { $0 > 0 } }, "an empty tensor")
            claim(architecture.blocks.allSatisfy { !$0.stages.isEmpty }, "an empty block")
        }
        expecting(ArchitectureError.self) {
            let shape = try Architecture(shape: Data(bytes), source: "config.json")
            claim(shape.blocks.allSatisfy { $0.stages.allSatisfy { $0.tokenShare > 0 && $0.tokenShare <= 1 && $0.columns > 0 } }, "a stage without tokens")
        }
        expecting(PipelineError.self) { _ = try PackedCheckpoint(configuration: bytes, source: "model") }
    }
}
