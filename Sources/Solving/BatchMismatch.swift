// What of a stage differs from the dense model, summed over the batches of all ranks.

internal import Calibration
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding
internal import Transformers

/// The sum over batches that stand at the same stage of both models. Where there is no room for all of it, they are visited once for some panels at a time.
struct BatchMismatch {
    let shared: SharedMismatch
    let batches: CalibrationBatches
    let dense: CalibrationBatches
    /// Panels of rows that are summed at a time; nil: all.
    let panelsAtOnce: Int?
    private var world: Communicator { shared.nodes.world }

    /// Collective.
    func sums() throws -> MismatchSums {
        let largest = try agreedMaxima()
        let count = shared.panels.count, atOnce = panelsAtOnce ?? count
        var sums = MismatchSums()
        for first in stride(from: 0, to: count, by: atOnce) {
            let part = first..<min(first + atOnce, count)
            let sum = shared.sum(of: part, maxMagnitudes: largest, share: batches.share)
            try add(to: sum)
            try shared.reduce(sum, part, into: &sums)
        }
        return sums
    }

    /// The largest |d| and |x̂| over all batches of all ranks.
    private func agreedMaxima() throws -> (d: Float, x: Float) {
        var largest: [Float] = [0, 0]
        try world.together(exitCode: exitCode) {
            try shared.clock.measure(.hessian) { () throws in
                try batches.forEachMismatch(shared.mismatch, of: shared.stage, beside: dense) { x, d in
                    largest[0] = max(largest[0], d.maxMagnitude)
                    largest[1] = max(largest[1], x.maxMagnitude)
                }
            }
        }
        try shared.clock.measure(.reduce) { () throws in try world.allReduceMax(&largest) }
        guard largest.allSatisfy(\.isFinite) else { throw AgreedFailure.notFinite(input: "\(shared.stage.name) in the dense model") }
        return (largest[0], largest[1])
    }

    private func add(to sum: MismatchSum) throws {
        let failure = try shared.clock.measure(.hessian) { () throws in
            try batches.forEachGroupMismatch(shared.mismatch, of: shared.stage, beside: dense) { x, d in shared.add(d: d, x: x, to: sum) }
        }
        try world.together(exitCode: exitCode) { () throws in if let failure { throw failure } }
    }
}
