// The compressed linears of a checkpoint, in whichever format, as weights by tensor name.

package import Compression
internal import Failures
internal import JSON
internal import LinearAlgebra
package import Packing
package import Safetensors
internal import Transformers

/// The compressed linears of a checkpoint.
package struct PackedCheckpoint: Sendable {
    package let reader: any WeightReader
    /// Weights that the dense model stores as [columns, rows] (GPT-2's Conv1D); formats store all alike.
    private var transposed: Set<String> = []
    /// What clients, and so config.json, call linears, by the checkpoint's names where these differ.
    private var modules: [String: String] = [:]

    /// Rows that are unpacked at once.
    private static let rowsAtOnce = 256

    init(reader: any WeightReader, _ architecture: Architecture? = nil) {
        self.reader = reader
        guard let architecture else { return }
        transposed = Set(architecture.linears.filter { $0.layout == .columnsByRows && $0.slice == nil }.map(\.weight))
        modules = Self.modules(architecture)
    }

    /// What clients call linears, by the checkpoint's names where these differ.
    static func modules(_ architecture: Architecture) -> [String: String] {
        let renamed = (architecture.linears + [architecture.head.own]).filter { $0.fileName != $0.name }
        return Dictionary(renamed.map { ($0.fileName, $0.name) }, uniquingKeysWith: { first, _ in first })
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
            try reader.check(linear(tensor), shape, options(linear(tensor), description), description)
        }
    }

    /// The tensors of a linear, and the shape of its weight in the dense model.
    ///
    /// - Parameter shape: that of the weight, where the model has it.
    func parts(_ linear: String, shape: [Int]?, _ index: CheckpointIndex) throws -> (names: [String], shape: [Int]) {
        let options: QuantizationOptions, own: LinearShape
        if let shape {
            options = try explaining(index) { try self.options(linear) { index.tensors[$0]?.description } }
            own = transposed.contains(linear + ".weight") ? LinearShape(rows: shape[1], columns: shape[0]) : LinearShape(rows: shape[0], columns: shape[1])
        } else {
            (options, own) = try examine(linear, Checkpoint(index: index, access: .pread))
        }
        let names = reader.parts(own, options).map { linear + $0.suffix }.filter { index.tensors[$0] != nil }
        return (names, shape ?? [own.rows, own.columns])
    }

    /// How a linear is compressed and its shape, its tensors checked.
    package func examine(_ linear: String, _ checkpoint: Checkpoint) throws -> (options: QuantizationOptions, shape: LinearShape) {
        try explaining(checkpoint.index) {
            let options = try options(linear, checkpoint.description)
            let shape = try reader.shape(linear, options, in: checkpoint)
            try reader.check(linear, shape, options, checkpoint.description)
            return (options, shape)
        }
    }

    /// Some rows of a linear that was examined, as they are stored.
    package func tile(_ linear: String, rows: Range<Int>, _ options: QuantizationOptions, _ shape: LinearShape, _ checkpoint: Checkpoint) throws -> EncodedTile
    {
        try explaining(checkpoint.index) { try reader.tile(linear, rows: rows, of: shape, options, in: checkpoint) }
    }

    /// Some rows and columns of the dequantized weight: [rows, columns]
    func dequantize(_ tensor: String, rows: Range<Int>, columns: Range<Int>, _ checkpoint: Checkpoint) throws -> Matrix<Float> {
        let linear = linear(tensor)
        let (options, shape) = try examine(linear, checkpoint)
        guard transposed.contains(tensor) else { return try dequantize(linear, rows: rows, options, shape, checkpoint).columns(columns) }
        return try dequantize(linear, rows: columns, options, shape, checkpoint).transposed().rows(rows)
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

    /// How a linear is compressed: config.json may name it as clients do, while its tensors have the checkpoint's names.
    private func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        guard let module = modules[linear] else { return try reader.options(linear, description) }
        return try reader.options(module) { name in description(name.hasPrefix(module) ? linear + name.dropFirst(module.count) : name) }
    }

    func linear(_ tensor: String) -> String { String(tensor.dropLast(".weight".count)) }

    /// Says in which directory a compressed linear cannot be read.
    private func explaining<Value>(_ index: CheckpointIndex, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as PackingError {
            throw PipelineError(.badInput, "\(index.directory): \(error)")
        }
    }
}
