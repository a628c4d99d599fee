// How much the experts of a model take in a result when some of them were taken out before.

internal import Packing
internal import Safetensors
internal import Sharding
internal import Transformers

extension OutputPlan {
    /// Bits of everything that stands for the weights of routed experts, for each weight of them that the model had before experts were taken out; nil where
    /// none were.
    ///
    /// - Parameter experts: what was taken out of the source.
    func bitsPerOriginalExpertWeight(_ plan: Plan, _ experts: Manifest.Experts?) -> Double? {
        guard let experts else { return nil }
        var (modules, tensors, weights) = (Set<String>(), Set<String>(), 0.0)
        for (number, block) in plan.architecture.blocks.enumerated() {
            guard let mixture = block.mixture else { continue }
            // Of another model than the one that lies there now, the manifest says nothing.
            guard experts.kept[number]?.count == mixture.experts else { return nil }
            for linear in (0..<mixture.experts).flatMap({ mixture.stages(of: $0).flatMap { block.stages[$0].linears } }) {
                modules.insert(linear.name)
                if linear.slice == nil { tensors.insert(linear.weight) }
                weights += Double(linear.rows * linear.columns) * Double(experts.ofOriginal) / Double(mixture.experts)
            }
        }
        guard weights > 0 else { return nil }
        let isOfExperts = { (origin: TensorOrigin) -> Bool in
            switch origin {
            case .linear(let index): modules.contains(content.linears[index].name)
            case .source(let name), .numbers(let name), .parts(of: let name, kept: _): tensors.contains(name)
            case .weight(of: let linear): modules.contains(linear.name)
            case .rows(let rows): tensors.contains(rows.tensor)
            case .experts: true
            case .bias, .latentHalf, .constant: false
            }
        }
        let bytes = content.files.flatMap(\.tensors).reduce(0) { $0 + (content.origins[$1.name].map(isOfExperts) == true ? $1.byteCount : 0) }
        return Double(8 * bytes) / weights
    }
}

extension Manifest.Experts {
    /// What was taken out of the model of a directory; nil where nothing was, or where no sound manifest says so.
    package static func takenOut(of directory: String) -> Self? {
        (try? Manifest.read(directory))?.experts
    }

    /// Experts of a block before any were taken out.
    package var ofOriginal: Int { original ?? of }
}
