// The queries, keys and values of a sequence, made ready: normalised, cut, rotated.

internal import Glibc
internal import LinearAlgebra

/// The queries, keys and values of one sequence.
struct AttentionHeads: Sendable {
    private let attention: Attention
    /// The outputs of the stage's linears, prepared, in the type of the products: [tokens, rows of the linear].
    private let operands: [Operand]

    /// Normalises and rotates queries and keys.
    ///
    /// - Parameter outputs: of each linear of the stage, [tokens, rows of the linear]; changed in place.
    init(
        _ attention: Attention, outputs: [Matrix<Float>], queryNorm: NormWeights?, keyNorm: NormWeights?, rotation: RotationTable?,
        compute: Compute
    ) {
        let tokens = outputs[0].rows
        let operands = outputs.map { compute == .f32 ? .f32($0) : Operand(uninitialized: compute, tokens, $0.columns) }
        let queries = (0..<attention.heads).map { attention.place(.query, head: $0) }
        let keys = (0..<attention.keyValueHeads).map { attention.place(.key, head: $0) }
        forEachRowRange(tokens) { rows in
            for (places, norm, first) in [
                (queries, queryNorm, attention.firstKeyValueHead * attention.shared), (keys, keyNorm, attention.firstKeyValueHead),
            ] {
                let isWhole = norm.map { $0.norm.size > attention.headSize } ?? false
                for (index, place) in (isWhole ? [places[0]] : places).enumerated() {
                    for row in rows {
                        let start = outputs[place.output].row(row) + place.columns.lowerBound
                        norm?.apply(to: start, into: start, head: first + index)
                    }
                }
            }
            if let clip = attention.clip {
                for output in outputs {
                    for row in rows { for column in 0..<output.columns { output[row, column] = min(max(output[row, column], -clip), clip) } }
                }
            }
            for place in rotation == nil ? [] : queries + keys {
                for row in rows { rotation?.rotate(outputs[place.output].row(row) + place.columns.lowerBound, position: row) }
            }
            if let epsilon = attention.rotatedNormEpsilon {
                for place in queries + keys {
                    for row in rows { Self.normalise(outputs[place.output].row(row) + place.columns.lowerBound, attention.headSize, epsilon) }
                }
            }
            guard compute != .f32 else { return }
            for (output, operand) in zip(outputs, operands) { operand.rows(rows).store(output.rows(rows)) }
        }
        self.attention = attention
        self.operands = operands
    }

    /// x = x / sqrt(mean of x^2 + epsilon)
    private static func normalise(_ values: UnsafeMutablePointer<Float>, _ count: Int, _ epsilon: Float) {
        let mean = (0..<count).reduce(Float(0)) { $0 + values[$1] * values[$1] } / Float(count)
        let scale = 1 / (mean + epsilon).squareRoot()
        for index in 0..<count { values[index] *= scale }
    }

    /// Where the heads of a role lie: of each [tokens, headSize].
    private func windows(_ role: Attention.Role, _ count: Int) -> [Operand] {
        (0..<count).map { head in
            let place = attention.place(role, head: head)
            return operands[place.output].columns(place.columns)
        }
    }

    /// Tells the keys and values that a server would keep.
    func note(in cache: CacheMagnitudes) {
        let count = attention.keyValueHeads
        cache.note(keys: windows(.key, count), values: windows(.value, count), first: attention.firstKeyValueHead)
    }

    /// Writes each head's context into its columns of `result`: [tokens, heads * headSize].
    ///
    /// - Parameter sinks: of each head; nil: none.
    func attend(into result: Operand, sinks: [Float]?) {
        CausalHeads(
            queries: windows(.query, attention.heads), keys: windows(.key, attention.keyValueHeads), values: windows(.value, attention.keyValueHeads),
            scale: attention.scale, window: attention.window, softcap: attention.softcap, biases: attention.bias?.table(tokens: result.rows), sinks: sinks
        ).attend(into: result)
        if attention.isGated { gate(result, windows(.gate, attention.heads)) }
    }

    /// contexts = contexts * sigmoid(gates)
    ///
    /// - Parameter gates: of each head: [tokens, headSize]
    private func gate(_ contexts: Operand, _ gates: [Operand]) {
        forEachRowRange(contexts.rows) { rows in
            for (head, gate) in gates.enumerated() {
                let context = contexts.rows(rows).columns(head * attention.headSize..<(head + 1) * attention.headSize)
                let (values, factors) = (context.widened().copy(), gate.rows(rows).widened())
                for row in 0..<values.rows {
                    for column in 0..<values.columns { values[row, column] *= 1 / (1 + exp(-factors[row, column])) }
                }
                context.store(values)
            }
        }
    }
}
