// The Hessian of a stage: summed over all ranks exactly, and factored by one of them for all.

internal import Compression
internal import Foundation
internal import LinearAlgebra
internal import MessagePassing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// What decides a factor, besides the Hessian.
struct FactorSettings: Hashable {
    var damping: Double
    var maxDamping: Double
    var actOrder: Bool
    /// Width of groups that act-order keeps together.
    var wholeGroups: Int?

    init(_ treatment: Treatment) {
        damping = treatment.damping
        maxDamping = treatment.maxDamping
        actOrder = treatment.actOrder != .off
        wholeGroups = treatment.options(scaleType: .f32).widthOfWholeGroups
    }
}

/// A factor, or why there is none.
enum FactorOutcome: Sendable {
    case factor(Factor)
    case singular(String)
}

/// The reduction of a stage's Hessian and its factorisation.
struct StageHessian {
    let world: Communicator
    let clock: PhaseClock

    /// The sum of X^T X over the batches of all ranks: complete on rank `owner` alone.
    ///
    /// - Parameters:
    ///   - batches: those of this rank, at the stage.
    ///   - tokens: rows of all batches of all ranks.
    ///   - name: of block and stage, for messages.
    func accumulate(_ batches: CalibrationBatches, _ stage: Stage, tokens: Int, owner: Int, name: String) throws -> GramSum {
        let largest = try agreedMaximum(batches, stage, name: name)
        let gram = GramSum(columns: stage.columns, tokens: tokens, maxMagnitude: largest)
        try world.together(exitCode: exitCode) {
            try clock.measure(.hessian) { () throws in
                try batches.forEachInput(of: stage) { input in
                    switch input {
                    case .f32(let x): gram.add(x)
                    case .bf16(let x): gram.add(x)
                    }
                    clock.count(.hessian, operations: Double(input.rows) * Double(input.columns) * Double(input.columns))
                }
            }
        }
        try clock.measure(.reduce) { () throws in try reduce(gram.sum, to: owner) }
        return gram
    }

    /// The largest |x| over all batches of all ranks, from which the sum's quantum follows.
    private func agreedMaximum(_ batches: CalibrationBatches, _ stage: Stage, name: String) throws -> Float {
        var largest: [Float] = [0]
        try world.together(exitCode: exitCode) {
            try clock.measure(.hessian) { () throws in
                try batches.forEachInput(of: stage) { largest[0] = max(largest[0], $0.maxMagnitude) }
            }
        }
        try clock.measure(.reduce) { () throws in try world.allReduceMax(&largest) }
        guard largest[0].isFinite else {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
                description: "the input of \(name) has values that are not finite: the model overflows on this calibration text, or its weights are damaged "
                    + "(with `compute: bf16`, try `compute: f32`)")
        }
        return largest[0]
    }

    /// Adds the ranks' sums, a band of upper blocks at a time, so that no second matrix is needed.
    private func reduce(_ sum: Matrix<Double>, to owner: Int) throws {
        guard world.size > 1 else { return }
        for top in stride(from: 0, to: sum.rows, by: GramSum.blockColumns) {
            let band = sum.rows(top..<min(top + GramSum.blockColumns, sum.rows)).columns(top..<sum.columns)
            let message = band.copy()
            try world.reduceSum(UnsafeMutableBufferPointer(start: message.base, count: message.count), to: owner)
            if world.rank == owner { band.assign(message) }
        }
    }

    /// Factors on the owner and gives the result to every rank.
    func factor(_ gram: GramSum, settings: FactorSettings, owner: Int) throws -> FactorOutcome {
        var outcome: FactorOutcome?
        if world.rank == owner {
            let columns = Double(gram.sum.columns)
            clock.count(.factor, operations: columns * columns * columns / 3)
            outcome = clock.measure(.factor) {
                do {
                    return .factor(
                        try Compression.factor(
                            hessian: gram.sum, dampingFraction: settings.damping, maximumFraction: settings.maxDamping, actOrder: settings.actOrder,
                            wholeGroups: settings.wholeGroups))
                } catch {
                    return .singular(String(describing: error))
                }
            }
        }
        return try clock.measure(.reduce) { () throws in try share(outcome, from: owner) }
    }

    private func share(_ outcome: FactorOutcome?, from owner: Int) throws -> FactorOutcome {
        guard world.size > 1 else { return outcome! }
        var failure: [UInt8] = []
        var factor: Factor?
        switch outcome {
        case .singular(let reason): failure = Array(reason.utf8)
        case .factor(let found): factor = found
        case nil: break
        }
        failure = try world.broadcast(failure, from: owner)
        guard failure.isEmpty else { return .singular(String(decoding: failure, as: UTF8.self)) }
        let header = try world.broadcast(factor.map { Array(try JSONEncoder().encode($0.header)) } ?? [], from: owner)
        let shared = try factor ?? Factor(header: JSONDecoder().decode(Factor.Header.self, from: Data(header)))
        try world.broadcast(UnsafeMutableBufferPointer(start: shared.r.base, count: shared.r.count), from: owner)
        return .factor(shared)
    }
}

extension Activation {
    /// The largest |x|; infinity when any value is infinite or NaN.
    var maxMagnitude: Float {
        switch self {
        case .f32(let x): LinearAlgebra.maxMagnitude(x)
        case .bf16(let x): LinearAlgebra.maxMagnitude(x)
        }
    }
}
