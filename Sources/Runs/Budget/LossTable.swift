// What each unit of a model would lose by each of its choices, and how much the model's end minds: measured once, used for any budget.

internal import Checkpoints
internal import Compression
internal import Failures
internal import Foundation
internal import Recipes
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Transformers

/// OUTPUT/cleave/losses.json.
struct LossTable: Sealed {
    /// A treatment that a unit may get.
    struct Choice: Codable, Equatable {
        var bits: Int?
        var group: Int
        var sparsity: Sparsity?
        /// ||(W - Q) R||^2 / ||W R||^2, the mean over the unit's linears; nil where a linear had no usable Hessian.
        var loss: Double?
    }

    /// The linears that get one choice together.
    struct Unit: Codable, Equatable {
        var name: String
        var weights: Int
        /// Those that take the least room first.
        var choices: [Choice]
        /// What the predictions of the model lose by the probed choice: the mean Kullback-Leibler divergence of a token, in nats; nil until it is measured.
        var divergence: Double?
    }

    /// The hash of the plan that it was measured for, and the digest of its source.
    var plan: String
    var source: String
    var units: [Unit]
    var seal: String?

    var isComplete: Bool { units.allSatisfy { $0.divergence != nil } }

    /// Whether both are the same but for the units that are probed.
    func hasLosses(of other: LossTable) -> Bool {
        plan == other.plan && source == other.source && units.map(\.name) == other.units.map(\.name) && units.map(\.choices) == other.units.map(\.choices)
    }

    /// - Throws: `PipelineError` where the file is missing or damaged.
    static func read(_ path: String) throws -> LossTable {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PipelineError(.missingInput, "\(path): no such file; a table of losses is needed")
        }
        guard let table = LossTable(sealedJSON: data) else {
            throw PipelineError(.badInput, "\(path) is not a table of losses that Cleave \(cleaveVersion) wrote, or it was changed since")
        }
        return table
    }

    func save(_ path: String) throws { try AtomicFile.write(sealedJSON(pretty: true), to: path) }
}

extension LossTable {
    /// The table of a run whose stages are all solved; sensitivities are still to be measured.
    ///
    /// - Parameter losses: by block and stage, what `StageFacts.losses` says.
    init(_ plan: Plan, losses: (_ block: Int, _ stage: Int) -> [[Double?]]?, identity: RunIdentity) {
        self.init(
            plan: identity.planHash, source: identity.sourceDigest,
            units: plan.units.map { unit in
                let found = unit.stages.compactMap { losses(unit.block, $0) }
                let choices = plan.choices(of: unit).enumerated().map { index, treatment in
                    let ofLinears = found.flatMap { $0[index] }
                    let known = ofLinears.compactMap { $0 }
                    let isWhole = known.count == ofLinears.count && !known.isEmpty
                    return Choice(
                        bits: treatment.bits, group: treatment.group, sparsity: treatment.sparsity,
                        loss: isWhole ? known.reduce(0, +) / Double(known.count) : nil)
                }
                return Unit(name: unit.name, weights: plan.linears(of: unit).reduce(0) { $0 + $1.linear.rows * $1.linear.columns }, choices: choices)
            })
    }
}

extension LossTable.Unit {
    /// What each choice costs by the linearity of small errors (HIGGS, Malinovskii et al. 2024): the divergence of the probed one, in proportion to the
    /// losses. A unit whose losses are not known gets the choice that takes the most room.
    var costs: [Double] {
        let probed = choices[Rule.probed(choices.count)].loss
        return choices.indices.map { index in
            guard let loss = choices[index].loss, let probed, let divergence else { return index == choices.count - 1 ? 0 : .infinity }
            return probed > 0 ? max(divergence, 0) * loss / probed : 0
        }
    }
}
