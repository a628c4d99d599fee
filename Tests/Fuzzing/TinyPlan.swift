// A plan of two blocks of a few thousand weights, with tiles of every layout.

import Compression
import Foundation
import Recipes
import Sharding
import Transformers

enum TinyPlan {
    static let plan: Plan = {
        do {
            return try Plan(
                recipe: Recipe(yaml: recipe, file: "recipe.yaml"),
                architecture: Architecture(configuration: Data(configuration.utf8), source: "config.json")
            ) { _ in .bf16 }
        } catch {
            fatalError("\(error)")
        }
    }()

    private static let configuration = """
        {"model_type": "llama", "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
         "vocab_size": 50, "max_position_embeddings": 64}
        """

    /// Groups of permuted columns (q, k, v), asymmetric rows of one group (gate, up), three bits (down), and one linear that is kept.
    private static let recipe = """
        model: model
        output: out
        calibration: {source: ids.npy, sequences: 4, length: 16}
        format: dense
        ignore: ["*.o_proj"]
        rules:
          - {match: "*.self_attn.*", group: 16, act_order: true, static_groups: false}
          - {match: "*.down_proj", bits: 3, group: 32}
          - {match: "*", method: rtn, bits: 8, group: -1, symmetric: false}
        """
}
