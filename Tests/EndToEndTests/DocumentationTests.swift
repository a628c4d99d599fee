// The documentation is held against the program: messages that it explains, flags that it names, links between its pages.

import Foundation
import Testing

@Suite struct DocumentationTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func text(_ path: String) throws -> String { try String(contentsOf: root.appending(path: path), encoding: .utf8) }

    static func pages() throws -> [String] {
        let documents = try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "docs").path).filter { $0.hasSuffix(".md") }
        return ["README.md", "CONTRIBUTING.md", "SECURITY.md"] + documents.sorted().map { "docs/" + $0 }
    }

    /// All sources and scripts, in which texts over several lines are joined.
    private static func program() throws -> String {
        let folders = ["Sources", "Cluster"].flatMap { folder in
            (FileManager.default.enumerator(atPath: root.appending(path: folder).path)?.compactMap { $0 as? String } ?? []).map { folder + "/" + $0 }
        }
        let files = ["run_mpi.sh"] + folders.filter { $0.hasSuffix(".swift") || $0.hasSuffix(".sh") }
        return try files.map(text).joined().replacing(#/"\s*\+\s*"/#, with: "")
    }

    /// What stands between backquotes in the headings of docs/troubleshooting.md are messages; `…` stands for names and numbers.
    @Test func messagesThatAreExplainedExist() throws {
        let program = try Self.program()
        let headings = try Self.text("docs/troubleshooting.md").split(separator: "\n").filter { $0.hasPrefix("### ") }
        let messages = headings.flatMap { $0.matches(of: #/`([^`]+)`/#).map { String($0.output.1) } }
        #expect(messages.count > 15)
        for message in messages {
            for part in message.components(separatedBy: "…").map({ $0.trimmingCharacters(in: .whitespaces) }) where !part.isEmpty {
                let isSaid = program.contains(part)
                #expect(isSaid, "docs/troubleshooting.md explains `\(message)`, but nothing says `\(part)`")
            }
        }
    }

    /// Flags behind `cleave VERB` in the documentation are those of the verb.
    @Test func flagsOfVerbsExist() throws {
        var help: [String: String] = [:]
        var found = 0
        for page in try Self.pages() {
            for line in try Self.text(page).replacing("\\\n", with: " ").split(separator: "\n") {
                for command in line.matches(of: #/(?:^|`|-- |\s)(?:cleave|run_mpi\.sh [^`]*--) ([a-z]+)((?: [^`|#]*)?)/#) {
                    let verb = String(command.output.1)
                    if help[verb] == nil {
                        let run = try CleaveProcess.run([verb, "--help"])
                        // A sentence may speak of cleave and another word.
                        help[verb] = run.exitCode == 0 && run.output.contains("USAGE: cleave \(verb)") ? run.output : ""
                    }
                    guard let text = help[verb], !text.isEmpty else { continue }
                    for flag in command.output.2.matches(of: #/ (--[a-z][a-z-]*)/#) {
                        found += 1
                        #expect(text.contains(flag.output.1), "\(page): `cleave \(verb)` has no \(flag.output.1)")
                    }
                }
            }
        }
        #expect(found > 15)
    }

    /// Links to other pages and to headings of theirs lead somewhere.
    @Test func linksLeadSomewhere() throws {
        func anchors(_ page: String) throws -> Set<String> {
            let headings = try Self.text(page).split(separator: "\n").filter { $0.hasPrefix("#") }
            return Set(
                headings.map { heading in
                    let text = heading.drop { $0 == "#" }.trimmingCharacters(in: .whitespaces).lowercased()
                    return String(text.filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" }.map { $0 == " " ? "-" : $0 })
                })
        }
        for page in try Self.pages() {
            let folder = Self.root.appending(path: page).deletingLastPathComponent()
            for link in try Self.text(page).matches(of: #/\]\(([^)\s]+)\)/#).map({ String($0.output.1) }) where !link.contains("://") {
                let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                let target = parts[0].isEmpty ? Self.root.appending(path: page) : folder.appending(path: parts[0])
                #expect(FileManager.default.fileExists(atPath: target.path), "\(page) links to \(link), which is not there")
                guard parts.count == 2, target.pathExtension == "md" else { continue }
                let path = target.standardizedFileURL.path.replacing(Self.root.standardizedFileURL.path + "/", with: "")
                #expect(try anchors(path).contains(parts[1]), "\(page) links to \(link), where there is no such heading")
            }
        }
    }
}
