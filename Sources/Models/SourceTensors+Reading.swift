// The numbers of a checkpoint in fp32, whichever way they are stored.

internal import Failures
public import LinearAlgebra
internal import Packing
package import Safetensors
public import Transformers

extension SourceTensors {
    /// Rows that one thread takes at once.
    private static let rowsAtOnce = 256

    /// The shape of a tensor as a matrix: one dimension is a row, and of three the matrices lie one below the other.
    package func matrixShape(_ name: String) throws -> (rows: Int, columns: Int) {
        guard let shape = self[name]?.description.shape else {
            throw PipelineError(.badInput, "\(index.directory): tensor \(name) is missing from the checkpoint")
        }
        guard (1...3).contains(shape.count) else {
            throw PipelineError(.badInput, "\(index.directory): tensor \(name) has shape \(shape), not 1 to 3 dimensions")
        }
        return (shape.dropLast().reduce(1, *), shape[shape.count - 1])
    }

    /// Some rows of such a matrix, of all columns where none are named.
    /// - Parameter destination: [rows.count, columns.count]
    package func read(_ name: String, rows: Range<Int>, columns: Range<Int>? = nil, from checkpoint: Checkpoint, into destination: Matrix<Float>) throws {
        guard let (source, transform) = self[name]?.transformed, let description = self[name]?.description else {
            return try readStored(name, rows: rows, columns: columns, from: checkpoint, into: destination)
        }
        try transform.read(
            rows: rows, columns: columns ?? 0..<matrixShape(name).columns, type: StoredType(description.type), into: destination,
            stored: { try readStored(source, rows: $0, columns: $1, from: checkpoint, into: $2) },
            gain: { norm in
                let stored = Matrix<Float>(uninitialized: 1, norm.size)
                try readStored(norm.weight, rows: 0..<1, from: checkpoint, into: stored)
                return norm.gain(stored.elements())
            },
            scales: { channels in
                guard let channelScales = self.channels?.scales else { preconditionFailure("\(name) is read before its channels' factors are known") }
                return channelScales[channels]
            })
    }

    /// The same of a tensor as it is stored.
    private func readStored(
        _ name: String, rows: Range<Int>, columns window: Range<Int>? = nil, from checkpoint: Checkpoint, into destination: Matrix<Float>
    ) throws {
        let shape = try matrixShape(name)
        let columns = window ?? 0..<shape.columns
        guard rows.lowerBound >= 0, rows.upperBound <= shape.rows, columns.upperBound <= shape.columns else {
            throw PipelineError(.badInput, "rows \(rows) and columns \(columns) of tensor \(name), which is [\(shape.rows), \(shape.columns)]")
        }
        precondition(destination.rows == rows.count && destination.columns == columns.count, "\(rows) x \(columns) into another shape")
        switch self[name]?.storage {
        case .plain: try readPlain(name, rows, columns, of: shape.columns, from: checkpoint, into: destination)
        case .packed:
            guard let packed else { preconditionFailure("\(name) is packed in a checkpoint without a reader") }
            destination.assign(try packed.dequantize(name, rows: rows, columns: columns, checkpoint))
        case .scaled(let weight):
            let starts = Array(stride(from: 0, to: rows.count, by: Self.rowsAtOnce))
            _ = try parallelMap(starts.count) { part in
                let own = starts[part]..<min(starts[part] + Self.rowsAtOnce, rows.count)
                do {
                    try weight.read(
                        rows.lowerBound + own.lowerBound..<rows.lowerBound + own.upperBound, columns: columns, in: checkpoint, into: destination.rows(own))
                } catch let error as PackingError {
                    throw PipelineError(.badInput, "\(index.directory): \(error)")
                }
            }
        case .rows(let stored) where self[name]?.description.shape.count == 1:
            // Elements of a bias are rows too.
            let all = Matrix<Float>(uninitialized: 1, shape.columns)
            try readPlain(name, 0..<1, 0..<shape.columns, of: shape.columns, from: checkpoint, into: all)
            let places = stored.pairing?.places(columns) ?? Array(columns)
            for (index, place) in places.enumerated() { destination[0, index] = all[0, place] - stored.addend }
        case .rows(let stored):
            let starts = Array(stride(from: 0, to: rows.count, by: Self.rowsAtOnce))
            _ = try parallelMap(starts.count) { part in
                let own = starts[part]..<min(starts[part] + Self.rowsAtOnce, rows.count)
                try stored.read(
                    name, rows: rows.lowerBound + own.lowerBound..<rows.lowerBound + own.upperBound, columns: columns, of: shape.columns, from: checkpoint,
                    into: destination.rows(own)
                ) { try readPlain(name, $0, 0..<shape.columns, of: shape.columns, from: checkpoint, into: $1) }
            }
        case .latentHalves(let halves):
            try halves.read(rows: rows, columns: columns, from: checkpoint, into: destination) { half, rows, destination in
                try readPlain(half, rows, 0..<destination.columns, of: destination.columns, from: checkpoint, into: destination)
            }
        case nil: preconditionFailure("\(name) has a shape and is not there")
        }
    }

    private func readPlain(
        _ name: String, _ rows: Range<Int>, _ columns: Range<Int>, of width: Int, from checkpoint: Checkpoint, into destination: Matrix<Float>
    ) throws {
        guard let type = checkpoint.description(name)?.type else { preconditionFailure("\(name) is plain and not there") }
        let size = type.bits / 8
        func copy(_ elements: Range<Int>, _ destination: UnsafeMutablePointer<Float>) throws {
            try checkpoint.withBytes(of: name, bytes: elements.lowerBound * size..<elements.upperBound * size) {
                try widen($0, type, count: elements.count, into: destination, name: name)
            }
        }
        if columns.count == width, destination.stride == width {
            return try copy(rows.lowerBound * width..<rows.upperBound * width, destination.base)
        }
        for row in rows {
            try copy(row * width + columns.lowerBound..<row * width + columns.upperBound, destination.row(row - rows.lowerBound))
        }
    }
}

/// The tensors of a checkpoint as fp32 matrices.
public struct CheckpointParameters: ParameterSource {
    package let checkpoint: Checkpoint
    package let tensors: SourceTensors

    /// Of two dimensions as stored, of others as [1, n].
    public func matrix(_ tensor: String) throws -> Matrix<Float> {
        let stored = try matrix(tensor, rows: 0..<tensors.matrixShape(tensor).rows)
        return tensors[tensor]?.description.shape.count == 2 ? stored : Matrix(stored.elements(), 1, stored.count)
    }

    /// The type in which a result would have the tensor.
    public func type(of tensor: String) -> StoredType { tensors[tensor].map { StoredType($0.description.type) } ?? .f32 }

    /// Some rows of a tensor, or of its matrices, one below the other.
    public func matrix(_ tensor: String, rows: Range<Int>) throws -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: rows.count, try tensors.matrixShape(tensor).columns)
        try tensors.read(tensor, rows: rows, from: checkpoint, into: result)
        return result
    }

    public func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
        try rows(tensor, indices, columns: 0..<tensors.matrixShape(tensor).columns, into: destination)
    }

    public func rows(_ tensor: String, _ indices: [Int32], columns: Range<Int>, into destination: Matrix<Float>) throws {
        // Rows that follow each other are read at once.
        var start = 0
        while start < indices.count {
            var end = start + 1
            while end < indices.count, indices[end] == indices[end - 1] + 1 { end += 1 }
            let first = Int(indices[start])
            try tensors.read(
                tensor, rows: first..<first + end - start, columns: columns, from: checkpoint, into: destination.rows(start..<end))
            start = end
        }
    }
}

extension StoredType {
    fileprivate init(_ type: ElementType) {
        switch type {
        case .bf16: self = .bf16
        case .f16: self = .f16
        default: self = .f32
        }
    }
}

/// Numbers as they lie in a file as fp32: widened, or rounded to the nearest.
private func widen(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, count: Int, into destination: UnsafeMutablePointer<Float>, name: String) throws {
    guard count > 0, let source = bytes.baseAddress else { return }
    switch type {
    case .f64: for index in 0..<count { destination[index] = Float(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self)) }
    case .f32: UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
    case .bf16: Numbers.widen(bfloat16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    case .f16: Numbers.widen(float16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    default: throw PipelineError(.badInput, "tensor \(name) is of type \(type.rawValue); F64, F32, F16 or BF16 is needed")
    }
}
