// Whether a result can be split over the GPUs that will serve it.

internal import Compression
internal import Recipes
internal import Transformers

extension Plan {
    /// What vLLM could not load since the rows of a linear are not whole blocks of scales (its check of `output_partition_size`): a sentence. transformers loads them.
    public var blockProblems: [String] {
        let uneven = compressedLinears.filter { $0.options?.strategy == .block && $0.linear.rows % scaleBlock != 0 }
        guard recipe.format.isServedByVLLM, let first = uneven.first?.linear else { return [] }
        let others = uneven.count > 1 ? " and \(uneven.count - 1) more" : ""
        return [
            "\(first.name)\(others) have \(first.rows) rows, no multiple of \(scaleBlock), so that vLLM does not load them in blocks: a rule with `strategy: channel` for these would"
        ]
    }

    /// What a server that splits linears over so many GPUs could not load: sentences, linears of a kind together.
    ///
    /// A server of tensor parallelism splits the inputs of attention's output and of `down`, and a group of columns must lie on one GPU whole (vLLM,
    /// `compressed_tensors_wNa16.py` and `compressed_tensors_moe.py`).
    public func servingProblems(tensorParallel: Int) -> [String] {
        var found: [String: (first: String, count: Int)] = [:]
        for stage in blocks.flatMap(\.stages) where !stage.stage.input.isDerived {
            for linear in stage.linears {
                guard let options = linear.options, options.group > 0 else { continue }
                let columns = stage.columns, share = columns / tensorParallel
                guard columns % tensorParallel != 0 || share % options.group != 0 else { continue }
                let fitting = [128, 64, 32, 16].first { columns % tensorParallel == 0 && share % $0 == 0 }
                let remedy = fitting.map { "; `group: \($0)` would fit" } ?? ""
                let shares = columns % tensorParallel == 0 ? "\(share) on each" : "no whole number on each"
                let problem = "\(columns) columns are \(shares) of \(tensorParallel) GPUs, which groups of \(options.group) do not divide\(remedy)"
                found[problem, default: (linear.linear.name, 0)].count += 1
            }
        }
        return found.sorted { $0.key < $1.key }.map { problem, linears in
            "\(linears.first)\(linears.count > 1 ? " and \(linears.count - 1) more linears" : ""): \(problem)"
        }
    }
}
