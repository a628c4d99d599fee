// Where Hessians were not what the recipe counts on, held to its limits.

package import Checkpoints
internal import Failures
internal import MessagePassing
internal import Recipes
package import Sharding
internal import Transformers

/// Linears with a fallback, too many dead columns, or raised damping. Others leave no trace here, so a check costs no more than there is to say.
package struct HessianDeviations {
    private struct Place: Hashable, Comparable {
        var block, stage, linear: Int

        static func < (a: Place, b: Place) -> Bool { (a.block, a.stage, a.linear) < (b.block, b.stage, b.linear) }
    }

    private let limits: DeviationLimits
    /// Linears whose method needs a Hessian.
    private let linears: Int
    private var fallbacks: [Place: String] = [:]
    private var dead: [Place: String] = [:]
    private var raised: [Place: String] = [:]
    /// What is done without a Hessian.
    private var remedies: Set<String> = []

    package init(_ plan: Plan) {
        limits = plan.recipe.limits
        linears = plan.compressedLinears.count { $0.treatment?.method.needsHessian == true }
    }

    /// Takes in what was found of a stage; once more is no harm.
    package mutating func add(_ stage: StagePlan, block: Int, index: Int, _ found: StageFacts) {
        for (position, (linear, facts)) in zip(stage.linears, found.linears).enumerated() {
            guard let facts, let method = linear.treatment?.method, method.needsHessian else { continue }
            let (place, name) = (Place(block: block, stage: index, linear: position), linear.linear.name)
            if let fallback = facts.fallback {
                fallbacks[place] = "\(name): \(fallback)"
                remedies.insert(method.prunes ? "pruned by magnitude" : "rounded to nearest")
            }
            if Double(facts.deadColumns) > limits.deadColumns * Double(linear.linear.columns) {
                dead[place] = "\(name): \(facts.deadColumns) of \(linear.linear.columns) columns"
            }
            if facts.attempts > 1 { raised[place] = "\(name): damping \(facts.damping) after \(facts.attempts - 1) failed factorisations" }
        }
    }

    /// - Throws: an `AgreedFailure`, the same on every rank, that names the linears.
    package func check() throws {
        if fallbacks.count > limits.fallbacks {
            throw past(
                "\(fallbacks.count) linears had to be \(remedies.sorted().joined(separator: " or ")), more than `max_fallbacks: \(limits.fallbacks)` allows",
                fallbacks)
        }
        if !dead.isEmpty {
            throw past(
                "\(dead.count) linears have a larger share of columns that saw nothing but zeros than `max_dead_columns: \(limits.deadColumns)` allows "
                    + "(use more calibration text, or other text)", dead)
        }
        if Double(raised.count) > limits.raisedDampings * Double(linears) {
            throw past(
                "the damping of \(raised.count) of \(linears) linears had to be raised, a larger share than `max_raised_dampings: \(limits.raisedDampings)` "
                    + "allows (use more calibration text, or a larger `damping`)", raised)
        }
    }

    private func past(_ limit: String, _ linears: [Place: String]) -> AgreedFailure {
        pastLimit(limit, linears.sorted { $0.key < $1.key }.map(\.value))
    }
}
