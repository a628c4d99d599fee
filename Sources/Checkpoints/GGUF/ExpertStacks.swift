// The tensors of a GGUF file that hold a linear of all experts of a block.

internal import GGUF
internal import Transformers

/// The gates, ups or downs of all experts of a block, by expert: one tensor [experts, rows, columns].
struct ExpertStack: Sendable {
    let name: String
    let linears: [Linear]
}

/// All of them, by the checkpoint's names of the experts' weights.
struct ExpertStacks: Sendable {
    private var stacks: [ExpertStack] = []
    private var places: [String: Int] = [:]

    init(_ architecture: Architecture, _ names: GGUFNames) {
        for block in architecture.blocks {
            guard let mixture = block.mixture else { continue }
            let experts = (0..<mixture.experts).map { expert in mixture.stages(of: expert).flatMap { block.stages[$0].linears } }
            for place in experts[0].indices {
                let linears = experts.map { $0[place] }
                guard let name = names.expertTensor(of: linears[0].name + ".weight")?.stack else { continue }
                for linear in linears { places[linear.weight] = stacks.count }
                stacks.append(ExpertStack(name: name, linears: linears))
            }
        }
    }

    /// That of a tensor of the checkpoint; nil where it is no expert's.
    func stack(of tensor: String) -> ExpertStack? { places[tensor].map { stacks[$0] } }
}
