// A recipe as the user gave it, kept with an unfinished run so that `cleave merge` needs only the directory.

public import Checkpoints
internal import Failures
internal import Foundation
public import Recipes
internal import Safetensors

/// The text of a recipe and everything that the command line adds to it.
public struct RecipeSource: Codable, Sendable {
    var yaml: String
    var file: String
    var overrides: [String]
    var model: String?
    var output: String?
    /// Relative paths of the recipe start here.
    var directory: String

    /// Reads a recipe file.
    public init(file: String, overrides: [String], model: String?, output: String?) throws {
        yaml = try Self.text(file)
        self.file = file
        self.overrides = overrides
        self.model = model
        self.output = output
        directory = FileManager.default.currentDirectoryPath
    }

    private static func text(_ file: String) throws -> String {
        var bytes: [UInt8]
        // What the shell hands over there (`<(...)`, standard input) is a pipe that somebody writes to.
        if file.hasPrefix("/dev/"), let data = FileManager.default.contents(atPath: file) {
            bytes = [UInt8](data)
        } else {
            do {
                bytes = try InputFile.bytes(of: file)
            } catch {
                guard error.kind == .missing else { throw error }
                throw PipelineError(.missingInput, "cannot read the recipe \(error)")
            }
        }
        if bytes.starts(with: InputFile.utf8Mark) { bytes.removeFirst(InputFile.utf8Mark.count) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw PipelineError(.badInput, "\(file) is not UTF-8, which recipes are written in; save it as such (from UTF-16: `iconv -f UTF-16 -t UTF-8`)")
        }
        return text
    }

    /// A recipe that no file holds.
    ///
    /// - Parameter name: for messages.
    public init(yaml: String, name: String, overrides: [String], model: String?, output: String?) {
        self.yaml = yaml
        file = name
        self.overrides = overrides
        self.model = model
        self.output = output
        directory = FileManager.default.currentDirectoryPath
    }

    /// The recipe that an unfinished run left in its work directory.
    public init(work: WorkDirectory) throws {
        guard let data = FileManager.default.contents(atPath: work.recipe) else {
            throw PipelineError(.missingInput, "\(work.recipe) is missing: \(work.output) holds no unfinished run of Cleave")
        }
        do {
            self = try JSONDecoder().decode(RecipeSource.self, from: data)
        } catch {
            throw PipelineError(.badInput, "\(work.recipe) is damaged: \(error)")
        }
    }

    func save(_ work: WorkDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        _ = try AtomicFile.write([UInt8](encoder.encode(self)), to: work.recipe)
    }

    /// The recipe, its paths resolved.
    public func recipe() throws -> Recipe {
        var recipe = try Recipe(yaml: yaml, file: file, overrides: overrides, model: model, output: output)
        recipe.model = resolved(recipe.model)
        recipe.output = resolved(recipe.output)
        for index in recipe.calibration?.sources.indices ?? 0..<0 {
            if let path = recipe.calibration?.sources[index].path { recipe.calibration?.sources[index].path = resolved(path) }
        }
        if let source = recipe.evaluation?.source { recipe.evaluation?.source = resolved(source) }
        if let losses = recipe.budget?.losses { recipe.budget?.losses = resolved(losses) }
        return recipe
    }

    private func resolved(_ path: String) -> String {
        let expanded = (path as NSString).expandingTildeInPath
        guard !expanded.hasPrefix("/"), directory != FileManager.default.currentDirectoryPath else { return expanded }
        return directory + "/" + expanded
    }
}
