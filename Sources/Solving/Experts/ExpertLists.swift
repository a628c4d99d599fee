// Which tokens the sums of each expert take: those that are routed to it, and those that it borrows.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import MessagePassing
internal import Recipes
internal import Sharding
internal import Transformers

/// What each expert of a layer is calibrated with, as all ranks know it.
struct ExpertLists {
    /// The tokens of each expert's sums.
    let sums: TokenLists
    /// Why an expert is done without a Hessian; nil where it is not.
    let fallbacks: [String?]
    /// Whether the sums of an expert take the tokens that are routed to it, and no others.
    let isRouted: [Bool]

    /// Collective.
    ///
    /// - Parameter minimum: tokens below which an expert is starved.
    /// - Throws: an `AgreedFailure` for starved experts where the recipe says so.
    init(_ pass: MixturePass, _ settings: ExpertSettings, minimum: Int) throws {
        let totals = pass.routed.counts.totals
        // Without calibration there are no sums.
        guard pass.tokens > 0 else {
            (sums, fallbacks, isRouted) = (pass.routed, totals.map { _ in nil }, totals.map { _ in true })
            return
        }
        let borrows = totals.map { total in
            switch settings.calibrate {
            case .all: pass.tokens
            // Some of those that are taken are its own already.
            case .routed: settings.starved == .blend && total < minimum ? (minimum - total) * pass.tokens / max(pass.tokens - total, 1) + 1 : 0
            }
        }
        let starved = totals.indices.filter { totals[$0] < minimum && settings.calibrate == .routed }
        if settings.starved == .error, !starved.isEmpty {
            throw pastLimit(
                "\(starved.count) experts of \(pass.block.name) got fewer tokens than `experts.minimum_tokens: \(minimum)` (use more calibration text, or "
                    + "`experts: { starved: blend }`)", starved.map { "expert \($0): \(totals[$0]) tokens" })
        }
        fallbacks = totals.map { total in
            guard settings.calibrate == .routed, settings.starved == .rtn, total < minimum else { return nil }
            return "the router sent it \(total) tokens, fewer than `experts.minimum_tokens: \(minimum)`"
        }
        isRouted = borrows.map { $0 == 0 }
        guard borrows.contains(where: { $0 > 0 }) else {
            sums = pass.routed
            return
        }
        let starts = pass.lengths.reduce(into: [0]) { $0.append($0.last! + $1) }
        let own = pass.own
        let lists = own.map { batch in
            BatchTokens(
                pass.routed.own[batch - own.lowerBound],
                and: borrows.map { TokenLists.borrowed($0, of: pass.tokens, in: starts[batch]..<starts[batch + 1]) })
        }
        sums = try TokenLists(lists, first: own.lowerBound, batches: pass.lengths.count, experts: pass.mixture.experts, world: pass.world)
    }
}
