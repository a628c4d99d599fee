// Parsing YAML whose aliases cannot multiply without end.

internal import Yams

/// The value that a YAML text describes; nil for an empty text.
///
/// Yams puts in the place of an alias the value that it stands for, and a few lines of aliases of lists of aliases make a value larger than
/// any memory. An alias leads to an earlier place, at which aliases stand that lead on: there are at most as many ways as choices of so many
/// aliases as there are anchors. Signs in quotes are counted with the others.
func composed(_ yaml: String) throws -> Node? {
    let anchors = yaml.utf8.count { $0 == UInt8(ascii: "&") }
    let aliases = yaml.utf8.count { $0 == UInt8(ascii: "*") }
    var (choices, ways) = (1.0, 1.0)
    for step in 0..<min(anchors, aliases) {
        choices *= Double(aliases - step) / Double(step + 1)
        ways += choices
        guard ways <= 1000 else { throw TangledAliases(anchors: anchors, aliases: aliases) }
    }
    return try compose(yaml: yaml)
}

struct TangledAliases: Error, CustomStringConvertible {
    let anchors: Int
    let aliases: Int

    var description: String { "\(anchors) anchors (&) with up to \(aliases) aliases (*) may stand for too large a value; write the values out" }
}
