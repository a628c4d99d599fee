// What a user should know of a plan before it runs: sentences.

internal import Reporting
public import Sharding

extension Plan {
    /// On linears of which a server makes one, on those that it cannot cut into blocks, and on methods that take more arithmetic than all else.
    public var remarks: [String] { fusionProblems + blockProblems + eliminationRemarks }

    private var eliminationRemarks: [String] {
        guard let elimination, elimination.operations > elimination.others else { return [] }
        return [
            "obq and exactobs take \(formatCount(elimination.operations)) operations, all else of the run \(formatCount(elimination.others)): those of a row grow with "
                + "the cube of its columns, and \(format(100 * elimination.share, digits: 0)) % are of linears with \(elimination.columns) columns; a rule with "
                + "gptq or sparsegpt for these takes far fewer"
        ]
    }
}
