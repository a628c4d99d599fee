// Where batches rest between stages: in memory, or in a scratch file when memory is short.

internal import LinearAlgebra
internal import Safetensors
internal import Sharding
package import Transformers

/// Where activations are kept. The place never changes a result.
public enum ActivationPlace: String, Sendable, CaseIterable, Codable {
    case memory, scratch
}

/// The states of a rank's batches, by their number among them.
package protocol BatchStorage: AnyObject {
    /// Whether the input of a norm's stage is kept from its first use to its last, as values of stages are; else it is made again each time.
    var keepsInputs: Bool { get }
    func load(_ batch: Int) throws -> BatchState
    func store(_ state: BatchState, _ batch: Int) throws
}

/// States in memory.
final class ResidentBatches: BatchStorage {
    private var states: [BatchState?]
    let keepsInputs = true

    var count: Int { states.count }

    init(count: Int) {
        states = Array(repeating: nil, count: count)
    }

    func load(_ batch: Int) throws -> BatchState {
        guard let state = states[batch] else { preconditionFailure("batch \(batch) is loaded before it was stored") }
        return state
    }

    func store(_ state: BatchState, _ batch: Int) throws {
        states[batch] = state
    }
}

/// States in a scratch file; only the batch in hand is in memory.
///
/// Each batch has a place for its residual stream, for what the block adds at its end, and one for the values that stages have left for later ones or for
/// the sum of its experts' outputs.
final class ScratchBatches: BatchStorage {
    /// What a batch has besides its residual stream.
    private struct Resting {
        var lengths: [Int]
        /// What stages have left, in the order in which it lies in the file.
        var values: [Value]
        var hasPending: Bool
        var hasExpertSum: Bool
    }

    private let file: ScratchFile
    private let compute: Compute
    private let hiddenSize: Int
    private let valueColumns: Int
    /// Bytes of a token's place.
    private let tokenBytes: Int
    /// The first token of each batch, and the end.
    private let starts: [Int]
    private var resting: [Resting?]
    /// A norm is little beside reading and writing what it makes.
    let keepsInputs = false

    /// - Parameters:
    ///   - tokens: of each batch.
    ///   - valueColumns: the most of all values that rest together.
    ///   - hasExperts: whether any block has a mixture of experts.
    init(directory: String, tokens: [Int], hiddenSize: Int, valueColumns: Int, hasExperts: Bool, compute: Compute) throws {
        self.compute = compute
        self.hiddenSize = hiddenSize
        self.valueColumns = valueColumns
        // While experts work, no stage has left anything.
        tokenBytes = hiddenSize * 8 + max(valueColumns * compute.byteCount, hasExperts ? hiddenSize * MemoryLayout<Double>.size : 0)
        starts = tokens.reduce(into: [0]) { $0.append($0.last! + $1) }
        resting = Array(repeating: nil, count: tokens.count)
        file = try ScratchFile(directory: directory, byteCount: starts.last! * tokenBytes)
    }

    func load(_ batch: Int) throws -> BatchState {
        guard let found = resting[batch] else { preconditionFailure("batch \(batch) is loaded before it was stored") }
        let (tokens, places) = (starts[batch + 1] - starts[batch], places(batch))
        var state = BatchState(lengths: found.lengths, residual: try read(tokens, hiddenSize, at: places.residual))
        if found.hasPending { state.pending = try read(tokens, hiddenSize, at: places.pending) as Matrix<Float> }
        var place = places.value
        for value in found.values {
            state.values[value] =
                switch compute {
                case .f32: .f32(try read(tokens, value.columns, at: place))
                case .bf16: .bf16(try read(tokens, value.columns, at: place))
                }
            place += tokens * value.columns * compute.byteCount
        }
        if found.hasExpertSum { state.expertSum = ExpertSum(values: try read(tokens, hiddenSize, at: places.value), residual: state.residual) }
        return state
    }

    func store(_ state: BatchState, _ batch: Int) throws {
        let places = places(batch)
        precondition(state.expertSum == nil || state.values.isEmpty, "a sum of experts' outputs in the place of a value")
        if let sum = state.expertSum { try write(sum.values, at: places.value) }
        try write(state.residual, at: places.residual)
        if let pending = state.pending { try write(pending, at: places.pending) }
        let values = state.values.keys.sorted { $0.name < $1.name }
        precondition(values.reduce(0) { $0 + $1.columns } <= valueColumns, "more values than there is room for")
        var place = places.value
        for value in values {
            switch state.values[value] {
            case .f32(let matrix)?: try write(matrix, at: place)
            case .bf16(let matrix)?: try write(matrix, at: place)
            case nil: break
            }
            place += state.tokens * value.columns * compute.byteCount
        }
        resting[batch] = Resting(lengths: state.lengths, values: values, hasPending: state.pending != nil, hasExpertSum: state.expertSum != nil)
    }

    private func places(_ batch: Int) -> (residual: Int, pending: Int, value: Int) {
        let (start, tokens) = (starts[batch] * tokenBytes, starts[batch + 1] - starts[batch])
        let residualBytes = tokens * hiddenSize * MemoryLayout<Float>.size
        return (start, start + residualBytes, start + 2 * residualBytes)
    }

    private func read<Element>(_ rows: Int, _ columns: Int, at offset: Int) throws -> Matrix<Element> {
        let matrix = Matrix<Element>(uninitialized: rows, columns)
        try matrix.withBytes { (bytes) throws(SafetensorsError) in try file.read(at: offset, into: bytes) }
        return matrix
    }

    private func write<Element>(_ matrix: Matrix<Element>, at offset: Int) throws {
        try matrix.withBytes { (bytes) throws(SafetensorsError) in try file.write(UnsafeRawBufferPointer(bytes), at: offset) }
    }
}
