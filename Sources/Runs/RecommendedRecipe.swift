// A recipe for a model that somebody compresses for the first time: what suits its shape, with the reasons as comments.

internal import Checkpoints
internal import Compression
internal import Failures
public import Models
internal import Recipes
internal import Safetensors
public import Sharding
internal import Transformers

/// A recipe whose plan has been made, so that it is known to fit the model.
public struct RecommendedRecipe {
    /// The recipe with comments.
    public let yaml: String
    public let plan: Plan
    public let files: FileVolumes
    /// What the user should know of model and recipe: sentences.
    public let remarks: [String]

    /// Formats in the order in which clients take them.
    private static let formats: [OutputFormat] = [.compressedTensors, .gptq, .dense]
    /// Groups and lengths, the usual first.
    private static let groups = [128, 64, 32, 16, -1], lengths = [2048, 1024, 512, 256]

    /// - Parameters:
    ///   - shape: what config.json says; weights need not be there.
    ///   - model, output, calibration: the paths that the recipe names.
    /// - Throws: `PipelineError` where no recipe of this kind fits the model.
    public init(_ shape: ModelShape, model: String, output: String, calibration: String) throws {
        let isMixture = shape.architecture.hasExperts
        func text(_ format: OutputFormat, _ group: Int, _ length: Int) -> String {
            Self.yaml(
                model: model, output: output, calibration: calibration, isMixture: isMixture, canRotate: Self.canRotate(shape, group: group), format: format,
                group: group, length: length)
        }
        var refusal: (any Error)?
        for format in Self.formats {
            for group in Self.groups {
                for length in Self.lengths {
                    let yaml = text(format, group, length)
                    do {
                        let recipe = try Recipe(yaml: yaml, file: "the recommended recipe")
                        let plan = try shape.plan(recipe)
                        guard group == -1 || plan.compressedLinears.allSatisfy({ $0.linear.columns % group == 0 }) else { break }
                        (files, self.plan, self.yaml, remarks) = (try shape.volumes(plan), plan, yaml, shape.remarks + plan.remarks)
                        return
                    } catch {
                        refusal = refusal ?? error
                    }
                }
            }
        }
        throw refusal ?? PipelineError(.badInput, "\(shape.path): no recipe of 4 bits fits this model; docs/recipes.md lists every key")
    }

    private static func canRotate(_ shape: ModelShape, group: Int) -> Bool {
        guard let rotated = Equivalence(rotation: WeightRotation(block: .atMost(group > 0 ? group : .max))) else { return false }
        return (try? EquivalentArchitecture(shape.architecture, rotated)) != nil
    }

    private static func yaml(
        model: String, output: String, calibration: String, isMixture: Bool, canRotate: Bool, format: OutputFormat, group: Int, length: Int
    ) -> String {
        let sequences =
            isMixture ? "512   # more than for a dense model: an expert sees a part of the tokens" : "128   # more lose a little less, and take longer"
        let groups = group > 0 ? "columns that share a scale; smaller groups lose less and take more room" : "whole rows: 16 does not divide all columns"
        var lines = [
            "model: \(quoted(model))",
            "output: \(quoted(output))",
            "calibration:",
            "  source: \(quoted(calibration))   # text, JSON lines, or ids: of the kind that the model will see",
            "  sequences: \(sequences)",
            "  length: \(length)",
            "compress:",
            "  bits: 4   # 2 | 3 | 4 | 8, or a budget such as { average: 3.5 }",
            "  group: \(group)   # \(groups)",
        ]
        if canRotate, !isMixture { lines.append("  # target: dense   # later linears make up for earlier ones, in about twice the time") }
        lines.append("# equalize: true   # columns of one size, at no cost when the result is run")
        if canRotate {
            lines.append("# rotate: hadamard   # fewer outliers, at no cost when the result is run\(isMixture ? "" : ". All three together lose least")")
        }
        lines +=
            isMixture
            ? ["rules:", "  - match: \"*.experts.*\"   # the routed experts, nearly all of the weights; what else there is costs little and loses most"]
            : ["ignore: [lm_head]   # clients expect the head as it is"]
        lines.append("format: \(format.rawValue)" + (format == .compressedTensors ? "   # loads in vLLM and transformers" : ""))
        return lines.joined(separator: "\n") + "\n"
    }

    /// A text as YAML reads it back, whatever is in it.
    private static func quoted(_ text: String) -> String {
        let isPlain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }
        let beginsPlain = text.first.map { $0.isLetter || $0 == "/" } ?? false
        return isPlain && beginsPlain ? text : "'" + text.replacing("'", with: "''") + "'"
    }
}
