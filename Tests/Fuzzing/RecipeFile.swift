// A recipe, and after each zero byte an override as `--set` takes it.

import Recipes

extension FuzzTarget {
    static let recipe = FuzzTarget(name: "recipe") { bytes in
        var parts: [String] = []
        for part in bytes.split(separator: 0, omittingEmptySubsequences: false) {
            // The command refuses a file that is not valid UTF-8 before it is read as a recipe.
            guard let text = String(validating: part, as: UTF8.self) else { return }
            parts.append(text)
        }
        expecting(RecipeError.self) {
            let recipe = try Recipe(yaml: parts.first ?? "", file: "recipe.yaml", overrides: Array(parts.dropFirst()))
            claim(!recipe.rules.isEmpty && recipe.maxShardSize > 0 && recipe.limits.fallbacks >= 0, "\(recipe)")
            expecting(PatternError.self) {
                for pattern in recipe.rules.map(\.match) + recipe.ignore { _ = try pattern.matches("model.layers.10.self_attn.q_proj") }
            }
        }
    }
}
