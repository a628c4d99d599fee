// Options that several verbs share.

import ArgumentParser
import Recipes
import Runs

/// A recipe with what the command line changes in it.
struct RecipeOptions: ParsableArguments {
    @Argument(help: "The recipe (YAML).", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String

    @Option(help: "Model directory; replaces the recipe's.", completion: .directory)
    var model: String?

    @Option(help: "Output directory; replaces the recipe's.", completion: .directory)
    var output: String?

    @Option(name: .customLong("set"), help: ArgumentHelp("Change a value of the recipe, such as compress.bits=3 (repeatable).", valueName: "path=value"))
    var overrides: [String] = []

    func source() throws -> RecipeSource {
        try RecipeSource(file: recipe, overrides: overrides, model: model, output: output)
    }
}

/// How weights are read.
struct WeightOptions: ParsableArguments {
    @Option(
        help: """
            How weights are read: mapped (mmap) or pread by every rank that needs them, or broadcast (mapped by one rank, which sends them to all). \
            Default: the recipe's `weights`, else mapped.
            """)
    var weights: WeightReading?

    /// Without a recipe.
    var reading: WeightReading { weights ?? .mapped }
}

extension WeightReading: ExpressibleByArgument {}
