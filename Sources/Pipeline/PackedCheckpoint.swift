// Reading linears that compressed-tensors packed.

internal import Foundation
internal import LinearAlgebra
internal import Packing
internal import Safetensors

/// The packed linears of a checkpoint in compressed-tensors' `pack-quantized`.
struct PackedCheckpoint: Sendable {
    private struct Scheme: Sendable {
        var targets: [String]
        var bits: Int
        var symmetric: Bool
        /// nil: one group a row.
        var group: Int?
    }

    private let schemes: [Scheme]

    /// nil when config.json has no `quantization_config`.
    init?(configuration: [UInt8], source: String) throws {
        guard let object = (try? JSONSerialization.jsonObject(with: Data(configuration))) as? [String: Any],
            let quantization = object["quantization_config"] as? [String: Any]
        else { return nil }
        let method = quantization["quant_method"] as? String ?? "?"
        let format = quantization["format"] as? String ?? "?"
        guard method == "compressed-tensors", format == "pack-quantized", let groups = quantization["config_groups"] as? [String: [String: Any]] else {
            throw PipelineError(.badInput, "\(source): quantization method `\(method)` in format `\(format)` cannot be read; known: compressed-tensors pack-quantized")
        }
        schemes = try groups.sorted { $0.key < $1.key }.map { name, group in
            guard let targets = group["targets"] as? [String], let weights = group["weights"] as? [String: Any], let bits = weights["num_bits"] as? Int,
                [2, 3, 4, 8].contains(bits), weights["type"] as? String == "int", let symmetric = weights["symmetric"] as? Bool,
                let strategy = weights["strategy"] as? String, ["group", "channel"].contains(strategy)
            else { throw PipelineError(.badInput, "\(source): `config_groups.\(name)` asks for something other than integer weights by group or channel") }
            guard strategy == "group" else { return Scheme(targets: targets, bits: bits, symmetric: symmetric, group: nil) }
            guard let size = weights["group_size"] as? Int, size > 0 else {
                throw PipelineError(.badInput, "\(source): `config_groups.\(name)` has the strategy `group`, but no `group_size` of at least 1")
            }
            return Scheme(targets: targets, bits: bits, symmetric: symmetric, group: size)
        }
    }

    /// Whether the weight named `tensor` lies packed in the checkpoint.
    func holds(_ tensor: String, _ index: CheckpointIndex) -> Bool {
        index.tensors[name(tensor) + ".weight_packed"] != nil
    }

    /// Checks the shapes of a packed linear.
    func check(_ tensor: String, rows: Int, columns: Int, _ index: CheckpointIndex) throws {
        let name = name(tensor)
        let scheme = try scheme(name, index)
        let groups = scheme.group.map { (columns - 1) / $0 + 1 } ?? 1
        for (suffix, type) in [(".weight_packed", ElementType.i32), (".weight_shape", .i64), (".weight_zero_point", .i32)] {
            guard let found = index.tensors[name + suffix]?.description.type, found != type else { continue }
            throw PipelineError(.badInput, "\(index.directory): tensor \(name + suffix) is of type \(found.rawValue), expected \(type.rawValue)")
        }
        var expected = [
            (".weight_packed", [rows, BitStream.wordCount(columns, bits: scheme.bits)]), (".weight_scale", [rows, groups]), (".weight_shape", [2]),
        ]
        if !scheme.symmetric { expected.append((".weight_zero_point", [BitStream.wordCount(rows, bits: scheme.bits), groups])) }
        for (suffix, shape) in expected {
            guard let found = index.tensors[name + suffix] else {
                throw PipelineError(.badInput, "\(index.directory): tensor \(name + suffix) is missing")
            }
            guard found.description.shape == shape else {
                throw PipelineError(.badInput, "\(index.directory): tensor \(name + suffix) has shape \(found.description.shape), expected \(shape)")
            }
        }
    }

    /// Some rows of the dequantized weight, all when nil: [rows, columns]
    func dequantize(_ tensor: String, rows chosen: Range<Int>? = nil, _ checkpoint: Checkpoint) throws -> Matrix<Float> {
        let name = name(tensor)
        let scheme = try scheme(name, checkpoint.index)
        let shape: [Int] = try checkpoint.withBytes(of: name + ".weight_shape") { bytes in
            (0..<2).map { Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))) }
        }
        let (rows, columns) = (shape[0], shape[1])
        // What a file's data says is not to be trusted: it must fit the tensor that it describes.
        let stored = checkpoint.index.tensors[name + ".weight_packed"]?.description.shape ?? []
        guard stored.count == 2, rows == stored[0], columns > 0, (columns - 1) / 32 < stored[1] else {
            throw PipelineError(.badInput, "\(checkpoint.index.directory): \(name).weight_shape says [\(rows), \(columns)], which does not fit weight_packed \(stored)")
        }
        try check(tensor, rows: rows, columns: columns, checkpoint.index)
        let groups = scheme.group.map { (columns + $0 - 1) / $0 } ?? 1
        let scales = try CheckpointParameters(checkpoint: checkpoint, quantization: nil).matrix(name + ".weight_scale")
        let zeros = try zeros(name, scheme, rows: rows, groups: groups, checkpoint)
        let chosen = chosen ?? 0..<rows
        let result = Matrix<Float>(uninitialized: chosen.count, columns)
        let words = BitStream.wordCount(columns, bits: scheme.bits)
        try checkpoint.withBytes(of: name + ".weight_packed", bytes: chosen.lowerBound * words * 4..<chosen.upperBound * words * 4) { bytes in
            nonisolated(unsafe) let base = bytes.baseAddress!.assumingMemoryBound(to: UInt32.self)
            parallelFor(chosen.count) { index in
                let row = chosen.lowerBound + index
                let codes = Matrix<UInt8>(uninitialized: 1, columns)
                BitStream.unpack(base + index * words, count: columns, bits: scheme.bits, into: codes.base)
                let target = result.row(index)
                for group in 0..<groups {
                    let (scale, zero) = (scales[row, group], Float(zeros[row, group]))
                    let start = group * (scheme.group ?? columns)
                    for column in start..<min(start + (scheme.group ?? columns), columns) { target[column] = scale * (Float(codes.base[column]) - zero) }
                }
            }
        }
        return result
    }

    /// Zero points as unsigned codes: [rows, groups]
    private func zeros(_ name: String, _ scheme: Scheme, rows: Int, groups: Int, _ checkpoint: Checkpoint) throws -> Matrix<UInt8> {
        let result = Matrix<UInt8>(repeating: UInt8(1 << (scheme.bits - 1)), rows, groups)
        guard !scheme.symmetric else { return result }
        let words = BitStream.wordCount(rows, bits: scheme.bits)
        try checkpoint.withBytes(of: name + ".weight_zero_point") { bytes in
            let base = bytes.baseAddress!.assumingMemoryBound(to: UInt32.self)
            let column = Matrix<UInt32>(uninitialized: 1, words)
            for group in 0..<groups {
                for word in 0..<words { column.base[word] = base[word * groups + group] }
                BitStream.unpack(column.base, count: rows, bits: scheme.bits, into: result.base + group, step: groups)
            }
        }
        return result
    }

    private func name(_ tensor: String) -> String { String(tensor.dropLast(".weight".count)) }

    private func scheme(_ name: String, _ index: CheckpointIndex) throws -> Scheme {
        // A target is a class (`Linear`), a name, or a regular expression of names.
        let named = schemes.first { $0.targets.contains { target in
            target == name || target.hasPrefix("re:") && name.range(of: "^" + target.dropFirst(3), options: .regularExpression) != nil
        } }
        guard let scheme = named ?? schemes.first(where: { $0.targets.contains("Linear") }) else {
            throw PipelineError(.badInput, "\(index.directory): config.json names no scheme for the packed linear \(name)")
        }
        return scheme
    }
}
