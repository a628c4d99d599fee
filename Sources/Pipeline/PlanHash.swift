// The identity of a run: two runs with the same hash write the same bytes.

internal import Foundation
internal import LinearAlgebra
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Transformers

extension Plan {
    /// XXH3 over everything that the result depends on: version, config.json, the tensors' names, shapes and places, treatments, tiles, batches, ids.
    func hash(configuration: [UInt8], index: CheckpointIndex, tokens: TokenSequences?) -> String {
        var checksum = Checksum()
        func add(_ text: String) {
            var text = text + "\n"
            text.withUTF8 { checksum.update(UnsafeRawBufferPointer($0)) }
        }
        add(cleaveVersion)
        configuration.withUnsafeBytes { checksum.update($0) }
        for (name, tensor) in index.tensors.sorted(by: { $0.key < $1.key }) {
            add("\(name) \(tensor.description.type.rawValue) \(tensor.description.shape) \(index.files[tensor.file].name) \(tensor.bytes)")
        }
        // What is computed in bf16 where the CPU can, and in fp32 elsewhere, has other bits.
        add("\(recipe.propagation) \(recipe.compute) \(recipe.compute == .bf16 && BFloat16.isAccelerated) \(recipe.format) \(recipe.maxShardSize)")
        for block in blocks {
            for stage in block.stages {
                for linear in stage.linears { add("\(linear.linear.name) \(linear.treatment.map { "\($0)" } ?? "kept")") }
                add("\(stage.tiles.map { "\($0.linear):\($0.rows)" })")
            }
        }
        add("\(batches)")
        add(tokens?.hash ?? "no calibration")
        return checksum.hexDigest
    }
}
