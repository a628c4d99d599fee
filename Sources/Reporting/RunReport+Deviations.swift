// What a user should know of before trusting a result: linears that were not treated as the recipe asked, inputs that say too little.

/// Something that went otherwise than the recipe asked, or that makes a result less sure.
public struct Deviation: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        case fallback = "fallback"
        case clampedScales = "scales outside the format"
        case starvedExperts = "starved experts"
        case deadColumns = "dead columns"
        case raisedDamping = "raised damping"
        case fewTokens = "few tokens"
        case lowRank = "inputs too much alike"
    }

    public var kind: Kind
    /// The linear, or the block, that it is about; nil when it is about many.
    public var subject: String?
    public var text: String

    public init(_ kind: Kind, _ subject: String?, _ text: String) {
        self.kind = kind
        self.subject = subject
        self.text = text
    }

    var line: String { subject.map { "\($0): \(text)" } ?? text }
}

extension RunReport {
    /// One line each, then how tokens fell to experts. Empty when there is nothing.
    public func deviations() -> [String] { linearDeviations().map(\.line) + [mixtures?.summary].compactMap { $0 } }

    /// What is notable of linears, and of blocks whose experts got too few tokens.
    public func notableDeviations() -> [Deviation] {
        let starved = (mixtures ?? []).filter { $0.starvedExperts > 0 }.map { mixture in
            Deviation(
                .starvedExperts, mixture.block,
                "\(mixture.starvedExperts) of \(mixture.experts) experts got fewer than \(mixture.minimumTokens) tokens"
                    + (mixture.borrowedTokens > 0 ? "; they borrowed \(mixture.borrowedTokens) of their layer for their Hessians" : ""))
        }
        return linearDeviations() + starved
    }

    private func linearDeviations() -> [Deviation] {
        let starved = linears.filter { $0.fallback == nil && ($0.tokens ?? .max) < $0.columns }
        let fewTokens = starved.first.map { first in
            Deviation(
                .fewTokens, nil,
                "\(starved.count) linears saw fewer calibration tokens than they have columns (\(first.name): \(first.tokens ?? 0) of \(first.columns)), so that "
                    + "damping alone makes their Hessians regular")
        }
        let alike = linears.filter { linear in linear.effectiveRank.map(isLow) ?? false }
        let fewDirections = alike.min { ($0.effectiveRank ?? 0) < ($1.effectiveRank ?? 0) }.map { least in
            Deviation(
                .lowRank, nil,
                "\(alike.count) linears saw inputs of a low effective rank (\(least.name): \(format(least.effectiveRank ?? 0, digits: 1)) in \(least.columns) columns), "
                    + "too much alike to say which weights matter")
        }
        return linears.flatMap(deviations) + [fewTokens, fewDirections].compactMap { $0 }
    }

    private func deviations(_ linear: LinearReport) -> [Deviation] {
        var found: [Deviation] = []
        if let clamped = linear.clampedScales {
            found.append(
                Deviation(
                    .clampedScales, linear.name,
                    "\(clamped) scales are outside the format's type; weights in their groups lose bits, become zero or are cut off"))
        }
        if let fallback = linear.fallback {
            return [Deviation(.fallback, linear.name, "\(linear.sparsity == nil ? "rounded to nearest" : "pruned by magnitude"): \(fallback)")] + found
        }
        // Other methods do not look at a column's inputs.
        if let dead = linear.deadColumns, dead > 0, ["gptq", "obq", "spqr", "sparsegpt", "admm", "exactobs", "wanda"].contains(linear.method) {
            let remedy = linear.sparsity == nil ? "rounded to nearest" : "pruned by their magnitude"
            found.append(
                Deviation(.deadColumns, linear.name, "\(dead) of \(linear.columns) columns saw nothing but zeros; their weights are \(remedy)"))
        }
        if let attempts = linear.attempts, attempts > 1, let damping = linear.damping {
            found.append(Deviation(.raisedDamping, linear.name, "damping raised to \(damping) after \(attempts - 1) failed factorisations"))
        }
        return found
    }
}

/// Whether inputs of such an effective rank say too little of a linear's weights: hardly more than one direction. Inputs from texts have 5 at least, whatever
/// the number of columns, and mostly tens; one token again and again has 1.
public func isLow(effectiveRank: Double) -> Bool { effectiveRank < 2 }
