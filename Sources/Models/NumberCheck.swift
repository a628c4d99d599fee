// Infinities and NaN in a checkpoint, found while its files are read once by all ranks together, before any work.

internal import Failures
internal import LinearAlgebra
internal import MessagePassing
package import Packing
package import Safetensors
package import Transformers

/// Looks at every number that a model is made of, wherever it lies: embeddings, norms, biases, linears, heads, and the scales of compressed linears.
///
/// Tensors that the model does not read are not looked at: old checkpoints keep masks of minus infinity beside their weights.
package struct NumberCheck: Sendable {
    private struct Entry: Sendable {
        let name: String
        let shape: [Int]
        let exponent: Numbers.Exponent
        let bytes: Range<Int>
    }

    private let index: CheckpointIndex
    /// Of each file, in the order of their bytes.
    private let entries: [[Entry]]

    /// - Parameter scaled: weights that are numbers times block scales, all of which count: a result has those too that the model does not read.
    package init(_ index: CheckpointIndex, _ architecture: Architecture, scaled: [ScaledWeight] = []) {
        // A head of its own counts, also where config.json ties it.
        let names = Set((architecture.expectedTensors() + architecture.untied().expectedTensors()).map(\.name))
        // The parts of a compressed linear have its name, or that of its module in files, with endings of their own.
        let all = architecture.linears + [architecture.head.own]
        let linears = Set(all.filter { index.tensors[$0.weight] == nil }.flatMap { [$0.name + ".", $0.fileName + "."] })
        var entries: [[Entry]] = index.files.map { _ in [] }
        let parts = Dictionary(scaled.flatMap(\.exponents), uniquingKeysWith: { first, _ in first })
        for (name, tensor) in index.tensors {
            if let exponent = parts[name] {
                if let exponent {
                    entries[tensor.file].append(Entry(name: name, shape: tensor.description.shape, exponent: exponent, bytes: tensor.bytes))
                }
                continue
            }
            guard let exponent = tensor.description.type.exponent else { continue }
            let stem = name.lastIndex(of: ".").map { String(name[...$0]) } ?? ""
            guard names.contains(name) || linears.contains(stem) else { continue }
            entries[tensor.file].append(Entry(name: name, shape: tensor.description.shape, exponent: exponent, bytes: tensor.bytes))
        }
        self.index = index
        self.entries = entries.map { $0.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound } }
    }

    /// The place of a file in the index; nil for files that hold no tensors.
    package func file(_ name: String) -> Int? { index.files.firstIndex { $0.name == name } }

    /// The first byte of the first number that is not finite among those that lie wholly in some bytes of a file; nil when there is none.
    /// - Parameters:
    ///   - file: its place in the index.
    ///   - offset: of the bytes, in the file.
    package func firstNotFinite(file: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) -> Int? {
        let end = offset + bytes.count
        for entry in entries[file][firstEntry(file, endingAfter: offset)...].prefix(while: { $0.bytes.lowerBound < end }) {
            let size = entry.exponent.byteCount
            let first = entry.bytes.lowerBound + (max(offset - entry.bytes.lowerBound, 0) + size - 1) / size * size
            let last = min(end, entry.bytes.upperBound)
            guard first < last else { continue }
            let numbers = UnsafeRawBufferPointer(rebasing: bytes[first - offset..<last - offset])
            if let place = Numbers.firstNotFinite(numbers, entry.exponent) { return first + place * size }
        }
        return nil
    }

    /// Bytes of a file at which a number lies on both sides of a cut, so that no piece holds it wholly; empty where tensors are aligned, as in most files.
    func straddling(_ cuts: StrideTo<Int>, file: Int) -> [Range<Int>] {
        cuts.compactMap { cut in
            guard let entry = entries[file][firstEntry(file, endingAfter: cut)...].first, entry.bytes.lowerBound < cut else { return nil }
            let size = entry.exponent.byteCount
            let start = entry.bytes.lowerBound + (cut - entry.bytes.lowerBound) / size * size
            return start == cut ? nil : start..<start + size
        }
    }

    /// The place of the first tensor whose bytes end after some byte of the file, by halving.
    private func firstEntry(_ file: Int, endingAfter byte: Int) -> Int {
        var (low, high) = (0, entries[file].count)
        while low < high {
            let middle = (low + high) / 2
            if entries[file][middle].bytes.upperBound > byte { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// What is wrong, in words.
    /// - Parameter place: as `firstNotFinite` found it.
    package func problem(file: Int, place: Int) -> String {
        guard let entry = entries[file][firstEntry(file, endingAfter: place)...].first else { return "byte \(place) of \(index.path(of: file))" }
        var element = (place - entry.bytes.lowerBound) / entry.exponent.byteCount
        var position: [Int] = []
        for length in entry.shape.reversed() {
            position.insert(element % max(length, 1), at: 0)
            element /= max(length, 1)
        }
        return "\(index.path(of: file)): tensor \(entry.name) is infinite or not a number at \(position): the checkpoint is damaged"
    }

    /// The failure of a file in which some rank found such a number; collective.
    /// - Parameter place: what this rank found, if anything.
    func check(file: Int, place: Int?, world: Communicator) throws {
        var first = [-(place ?? Int.max)]
        try world.allReduceMax(&first)
        guard first[0] != -Int.max else { return }
        throw AgreedFailure(rank: 0, exitCode: PipelineError.Kind.badInput.rawValue, description: problem(file: file, place: -first[0]))
    }
}

extension ElementType {
    /// Nil for types that are not read as numbers.
    fileprivate var exponent: Numbers.Exponent? {
        switch self {
        case .f32: .float32
        case .f64: .float64
        case .f16: .float16
        case .bf16: .bfloat16
        default: nil
        }
    }
}

extension ScaledWeight {
    /// Of each of its tensors the type of number; nil for those that hold whole numbers.
    fileprivate var exponents: [(String, Numbers.Exponent?)] {
        let scaleExponent: Numbers.Exponent =
            switch scale {
            case .f32: .float32
            case .f16: .float16
            case .bf16: .bfloat16
            case .e4m3: .float8
            case .e8m0: .exponent8
            }
        return [(numbers, number == .e4m3 ? .float8 : nil), (scales, scaleExponent)] + (whole.map { [($0, .float32)] } ?? [])
            + (zeroPoints.map { [($0, nil)] } ?? [])
    }
}
