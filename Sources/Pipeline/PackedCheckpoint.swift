// The compressed linears of a checkpoint, in whichever format, as weights by tensor name.

internal import Compression
internal import JSON
internal import LinearAlgebra
internal import Packing
internal import Safetensors

/// The compressed linears of a checkpoint.
struct PackedCheckpoint: Sendable {
    let reader: any WeightReader
    /// Weights that the dense model stores as [columns, rows] (GPT-2's Conv1D); formats store all alike.
    var transposed: Set<String> = []

    /// Rows that are unpacked at once.
    private static let rowsAtOnce = 256

    /// nil when config.json has no `quantization_config`.
    /// - Parameter source: the model's directory, for messages.
    init?(configuration: [UInt8], source: String) throws {
        guard let quantization = try JSONValue(configuration: configuration, of: source)["quantization_config"] else { return nil }
        do {
            reader = try weightReader(quantization)
        } catch {
            throw PipelineError(.badInput, "\(source): \(error)")
        }
    }

    /// Whether the weight named `tensor` lies packed in the checkpoint.
    func holds(_ tensor: String, _ index: CheckpointIndex) -> Bool {
        index.tensors[linear(tensor) + reader.codesSuffix] != nil
    }

    /// Checks the shapes of a packed linear.
    ///
    /// - Parameter shape: that of the weight in the dense model.
    func check(_ tensor: String, shape: [Int], _ index: CheckpointIndex) throws {
        let shape = transposed.contains(tensor) ? LinearShape(rows: shape[1], columns: shape[0]) : LinearShape(rows: shape[0], columns: shape[1])
        try explaining(index) {
            let description = { index.tensors[$0]?.description }
            try reader.check(linear(tensor), shape, reader.options(linear(tensor), description), description)
        }
    }

    /// How a linear is compressed and its shape, its tensors checked.
    func examine(_ linear: String, _ checkpoint: Checkpoint) throws -> (options: QuantizationOptions, shape: LinearShape) {
        try explaining(checkpoint.index) {
            let options = try reader.options(linear, checkpoint.description)
            let shape = try reader.shape(linear, options, in: checkpoint)
            try reader.check(linear, shape, options, checkpoint.description)
            return (options, shape)
        }
    }

    /// Some rows of a linear that was examined, as they are stored.
    func tile(_ linear: String, rows: Range<Int>, _ options: QuantizationOptions, _ shape: LinearShape, _ checkpoint: Checkpoint) throws -> EncodedTile {
        try explaining(checkpoint.index) { try reader.tile(linear, rows: rows, of: shape, options, in: checkpoint) }
    }

    /// Some rows of the dequantized weight, all when nil: [rows, columns]
    func dequantize(_ tensor: String, rows chosen: Range<Int>? = nil, _ checkpoint: Checkpoint) throws -> Matrix<Float> {
        let linear = linear(tensor)
        let (options, shape) = try examine(linear, checkpoint)
        guard !transposed.contains(tensor) else {
            let whole = try dequantize(linear, rows: 0..<shape.rows, options, shape, checkpoint).transposed()
            return chosen.map { whole.rows($0) } ?? whole
        }
        return try dequantize(linear, rows: chosen ?? 0..<shape.rows, options, shape, checkpoint)
    }

    private func dequantize(
        _ linear: String, rows: Range<Int>, _ options: QuantizationOptions, _ shape: LinearShape, _ checkpoint: Checkpoint
    ) throws -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: rows.count, shape.columns)
        let starts = Array(stride(from: 0, to: rows.count, by: Self.rowsAtOnce))
        _ = try parallelMap(starts.count) { index in
            let part = starts[index]..<min(starts[index] + Self.rowsAtOnce, rows.count)
            let tile = try tile(linear, rows: rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound, options, shape, checkpoint)
            tile.dequantize(into: result.rows(part))
        }
        return result
    }

    private func linear(_ tensor: String) -> String { String(tensor.dropLast(".weight".count)) }

    /// Says in which directory a compressed linear cannot be read.
    private func explaining<Value>(_ index: CheckpointIndex, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as PackingError {
            throw PipelineError(.badInput, "\(index.directory): \(error)")
        }
    }
}
