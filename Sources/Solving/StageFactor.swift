// A factor as it lies over the ranks: complete on each, or panel by panel with its owners.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Reporting
internal import Sharding

/// The factor of a stage's Hessian.
package struct StageFactor: Sendable {
    let outline: FactorOutline
    /// Of the Hessian, see `EffectiveRank`.
    let effectiveRank: Double
    /// Whether R is used in bf16 as well.
    let isNarrowed: Bool
    /// R; nil when its panels lie with their owners.
    let complete: Factor?
    /// The complete factor of the Hessian with a penalty, for methods that ask for one.
    var penalised: Factor?
    /// H^-1, for methods that ask for it.
    var inverse: InverseHessian?
    /// The panels of R that this rank owns, by number in the matrix; empty when R is complete.
    let own: [Int: Matrix<Float>]
}

/// Brings columns of R to all ranks.
struct FactorPanels {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock

    /// Some columns of a factor whose panels lie with their owners, on every rank; collective.
    func columns(_ columns: Range<Int>, of factor: StageFactor) throws -> FactorPanel {
        let size = factor.outline.columns
        let values = Matrix<Float>(repeating: 0, columns.upperBound, columns.count)
        for (index, range) in choleskyPanels(order: size).enumerated() {
            // The matrix has R's columns in reverse.
            let own = size - range.upperBound..<size - range.lowerBound
            let shared = own.clamped(to: columns)
            guard !shared.isEmpty else { continue }
            let owner = assignment.panelOwner(index)
            let message = Matrix<Float>(uninitialized: shared.upperBound, shared.count)
            if owner == nodes.world.rank {
                guard let panel = factor.own[index] else { preconditionFailure("panel \(index) of R is not with its owner") }
                message.assign(panel.rows(0..<shared.upperBound).columns(shared.lowerBound - own.lowerBound..<shared.upperBound - own.lowerBound))
            }
            try clock.measure(.reduce) { () throws in
                try nodes.broadcast(UnsafeMutableBufferPointer(start: message.base, count: message.count), from: owner)
            }
            let target = shared.lowerBound - columns.lowerBound..<shared.upperBound - columns.lowerBound
            values.rows(0..<shared.upperBound).columns(target).assign(message)
        }
        return clock.measure(.solve) { FactorPanel(columns: columns, values: values, isNarrowed: factor.isNarrowed, of: size) }
    }
}
