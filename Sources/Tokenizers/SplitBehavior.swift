// What becomes of the matches of a Split: removed, isolated, or merged with a neighbour.

/// How a text is cut around the matches of a pattern.
enum SplitBehavior: String, CaseIterable, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// A stretch of the text that is a match or lies between two matches.
    struct Section {
        var range: Range<Int>
        let isMatch: Bool
    }

    init(_ node: JSONNode) throws(TokenizerError) {
        let name = try node.string()
        guard let behavior = Self(rawValue: name) else {
            throw node.unsupported(type: name, supported: Self.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self = behavior
    }

    /// Cuts the text that `sections` cover without gaps, and appends the pieces that are not empty.
    func cut(_ sections: [Section], into pieces: inout [Range<Int>]) {
        switch self {
        case .isolated: append(sections, to: &pieces)
        case .removed: append(sections.filter { !$0.isMatch }, to: &pieces)
        case .contiguous:
            append(merged(sections) { $0.isMatch == $1.isMatch }, to: &pieces)
        case .mergedWithPrevious:
            append(merged(sections) { !$0.isMatch && $1.isMatch }, to: &pieces)
        case .mergedWithNext:
            // The mirror image: a match joins what follows it unless that is a match too.
            append(merged(sections.reversed()) { !$0.isMatch && $1.isMatch }.reversed(), to: &pieces)
        }
    }

    private func append(_ sections: [Section], to pieces: inout [Range<Int>]) {
        for section in sections where !section.range.isEmpty { pieces.append(section.range) }
    }

    /// Joins each section to the one before it where `joins(before, section)` holds.
    private func merged(_ sections: [Section], joins: (Section, Section) -> Bool) -> [Section] {
        var result: [Section] = []
        var previous: Section?
        for section in sections {
            if let previous, joins(previous, section), let last = result.indices.last {
                let range = result[last].range
                result[last].range =
                    min(range.lowerBound, section.range.lowerBound)..<max(range.upperBound, section.range.upperBound)
            } else {
                result.append(section)
            }
            previous = section
        }
        return result
    }
}
