// A manual page in the man macros, from the description of its commands that swift-argument-parser gives.

/// The text of cleave(1).
struct ManualPage {
    /// What swift-argument-parser writes of a tool (`ToolInfoV0`), as far as a page needs it.
    struct Tool: Decodable {
        var command: Command
    }

    struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var shouldDisplay: Bool
        var subcommands: [Command]?
        var arguments: [Argument]?
    }

    struct Argument: Decodable {
        struct Name: Decodable {
            var kind: String
            var name: String
            /// As it is written on a command line.
            var spelling: String { (kind == "long" ? "--" : "-") + name }
        }

        var kind: String
        var shouldDisplay: Bool
        var isOptional: Bool
        var isRepeating: Bool
        var names: [Name]?
        var valueName: String?
        var defaultValue: String?
        var allValues: [String]?
        var abstract: String?
    }

    private let root: Command
    private let version: String

    init(_ root: Command, version: String) {
        self.root = root
        self.version = version
    }

    var text: String {
        let verbs = (root.subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" }
        var lines = [".TH CLEAVE 1 \"\" \"cleave \(version)\" \"User Commands\"", ".nh", ".ad l"]
        lines += section("NAME", "\(root.commandName) \\- \(Self.escaped(root.abstract ?? ""))")
        lines += [".SH SYNOPSIS", ".B cleave", ".I verb", "[options]", ".br", ".B mpirun", "[...]", ".B cleave", ".I verb", "[options]"]
        lines += [".SH DESCRIPTION"] + Self.paragraphs(root.discussion ?? "")
        lines += [".SH OPTIONS"] + (root.arguments ?? []).filter(\.shouldDisplay).flatMap(Self.entry)
        lines.append(".SH VERBS")
        for verb in verbs { lines += Self.section(of: verb) }
        lines += section("SEE ALSO", ".BR mpirun (1), srun (1); docs/recipes.md and docs/troubleshooting.md of the sources")
        return lines.joined(separator: "\n") + "\n"
    }

    private func section(_ name: String, _ line: String) -> [String] { [".SH \(name)", line] }

    private static func section(of verb: Command) -> [String] {
        // Every verb has --help and --version, which the page has said.
        let arguments = (verb.arguments ?? []).filter { argument in
            argument.shouldDisplay && argument.names?.contains { ["help", "version"].contains($0.name) } != true
        }
        let usage = arguments.filter { $0.kind == "positional" }.map { argument in
            let name = "\\fI\(escaped(argument.valueName ?? "argument"))\\fR" + (argument.isRepeating ? "..." : "")
            return argument.isOptional ? "[\(name)]" : name
        }
        return [".SS \"cleave \(escaped(verb.commandName))\"", ".B cleave \(escaped(verb.commandName))"] + (usage + ["[options]"])
            + [".PP"] + paragraphs(verb.abstract ?? "") + (verb.discussion.map { [".PP"] + paragraphs($0) } ?? []) + arguments.flatMap(entry)
    }

    /// An argument with what it means.
    private static func entry(_ argument: Argument) -> [String] {
        let value = "\\fI\(escaped(argument.valueName ?? "value"))\\fR"
        let names = (argument.names ?? []).map { "\\fB\(escaped($0.spelling))\\fR" }.joined(separator: ", ")
        let head = argument.kind == "positional" ? value : argument.kind == "flag" ? names : "\(names) \(value)"
        var text = argument.abstract ?? ""
        if let values = argument.allValues, !values.isEmpty { text += " (values: \(values.joined(separator: ", ")))" }
        if let byDefault = argument.defaultValue { text += " (default: \(byDefault))" }
        return [".TP", head] + paragraphs(text)
    }

    private static func paragraphs(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.allSatisfy(\.isWhitespace) ? ".PP" : escaped(String($0)) }
    }

    /// A line that no macro begins in, its hyphens those that are typed.
    private static func escaped(_ text: String) -> String {
        let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
        return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
    }
}
