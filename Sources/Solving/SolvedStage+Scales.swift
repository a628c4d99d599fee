// Scales that the format's type cannot hold, held to the recipe's limit.

internal import Compression
internal import Failures
package import Sharding
internal import Transformers

extension SolvedStage {
    /// Holds the scales of a stage that lie outside their type to the recipe's limit.
    ///
    /// - Parameter limit: the share of a linear's scales.
    /// - Throws: an `AgreedFailure`, the same on every rank, that names the linears.
    package func checkScales(_ stage: StagePlan, limit: Double) throws {
        let lines = stage.linears.indices.compactMap { index -> String? in
            let linear = stage.linears[index].linear
            guard let options = stage.linears[index].options else { return nil }
            let clamped = stage.tiles.indices.reduce(0) { stage.tiles[$1].linear == index ? $0 + (measures[$1].clampedScales ?? 0) : $0 }
            let all = linear.rows * options.groupCount(columns: linear.columns)
            guard Double(clamped) > limit * Double(all) else { return nil }
            let (least, most) = options.scaleType.normalRange
            return "\(linear.name): \(clamped) of \(all) scales are outside \(least) to \(most), the normal numbers of \(options.scaleType.rawValue)"
        }
        guard !lines.isEmpty else { return }
        throw pastLimit(
            "more scales cannot be stored than `max_clamped_scales: \(limit)` allows, so that weights would become zero or be cut off (`format: "
                + "compressed-tensors` and `dense` keep scales in the type of the model's weights)", lines)
    }
}
