// What a user should know of a plan before it runs: sentences.

internal import Reporting
public import Sharding
internal import Transformers

extension Plan {
    /// On linears of which a server makes one, on those that it cannot cut into blocks, on methods that take more arithmetic than all else, and on linears that no
    /// rule takes.
    public var remarks: [String] { fusionProblems + blockProblems + eliminationRemarks + forgottenRemarks }

    private var forgottenRemarks: [String] {
        let forgotten = blocks.lazy.flatMap { $0.stages.lazy.flatMap { $0.linears.lazy.filter(\.isForgotten).map(\.linear.name) } }
        let count = forgotten.count
        guard let name = forgotten.first else { return [] }
        return [
            "\(count) \(count == 1 ? "linear keeps its" : "linears keep their") weights, since no rule takes \(count == 1 ? "it" : "them") (the first is \(name)); "
                + "a last rule `{ match: \"*\" }` would, and `ignore` says that it is meant"
        ]
    }

    private var eliminationRemarks: [String] {
        guard let elimination, elimination.operations > elimination.others else { return [] }
        return [
            "obq and exactobs take \(formatCount(elimination.operations)) operations, all else of the run \(formatCount(elimination.others)): those of a row grow with "
                + "the cube of its columns, and \(format(100 * elimination.share, digits: 0)) % are of linears with \(elimination.columns) columns; a rule with "
                + "gptq or sparsegpt for these takes far fewer"
        ]
    }
}
