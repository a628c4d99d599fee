// Why a batch cannot pass through a model.

internal import LinearAlgebra

/// Token ids or tensors that do not fit the architecture.
public enum ForwardError: Error, Equatable, CustomStringConvertible {
    case tensorShape(tensor: String, found: [Int], expected: [Int])
    case emptySequence(sequence: Int)
    case tokenOutOfRange(sequence: Int, position: Int, id: Int32, vocabularySize: Int)
    case sequenceTooLong(sequence: Int, length: Int, maximumPositions: Int)

    public var description: String {
        switch self {
        case .tensorShape(let tensor, let found, let expected):
            "The tensor \(tensor) has the shape \(found), but config.json makes it \(expected)."
        case .emptySequence(let sequence):
            "Sequence \(sequence) has no tokens."
        case .tokenOutOfRange(let sequence, let position, let id, let vocabularySize):
            "Token \(position) of sequence \(sequence) is \(id), but the vocabulary ends at \(vocabularySize - 1); "
                + "the ids may come from another model's tokenizer."
        case .sequenceTooLong(let sequence, let length, let maximumPositions):
            "Sequence \(sequence) has \(length) tokens, but the model has learned only \(maximumPositions) positions."
        }
    }

    static func check(_ tensor: String, _ matrix: Matrix<Float>, expected: [Int]) throws(ForwardError) {
        let found = [matrix.rows, matrix.columns]
        guard found == expected else { throw .tensorShape(tensor: tensor, found: found, expected: expected) }
    }
}
