// compressed-tensors read again, and what its reader refuses.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct CompressedTensorsReaderTests {
    private let format = CompressedTensorsFormat()

    @Test(arguments: [2, 3, 4, 8], [true, false])
    func linearsComeBack(bits: Int, symmetric: Bool) throws {
        for (group, columns, type) in [(-1, 50, ElementType.f32), (32, 96, .bf16), (16, 48, .f16)] {
            let sample = SampleLinear([64, 35], columns: columns, QuantizationOptions(bits: bits, group: group, symmetric: symmetric), type: type)
            #expect(format.refusal(sample.linear) == nil)
            try sample.expectComesBack(format)
        }
    }

    /// The deprecated groups of permuted columns, which other programs have written.
    @Test func groupsOfPermutedColumnsAreRead() throws {
        let plain = QuantizationOptions(group: 16, actOrder: true, staticGroups: true)
        let sample = SampleLinear([32], columns: 64, plain)
        var tensors = try MemoryTensors(sample, format)
        let name = "m.down.weight_g_idx", groups = (0..<64).map { Int32($0 % 4) }
        tensors.tensors[name] = (try TensorDescription(name: name, type: .i32, shape: [64]), groups.withUnsafeBytes { Array($0) })
        let reader = try sample.reader(format)
        let options = try reader.options("m.down", tensors.description)
        #expect(options.hasPermutedGroups)
        let tile = try reader.tile("m.down", rows: 0..<32, of: LinearShape(rows: 32, columns: 64), options, in: tensors)
        #expect(tile.groupOfColumn == groups)
    }

    @Test func shapesThatDoNotFitAreRefused() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 32))
        let (reader, sound) = (try sample.reader(format), try MemoryTensors(sample, format))
        let options = try reader.options("m.down", sound.description)
        for (rows, columns) in [(33, 64), (32, 0), (32, Int.max), (-1, 64)] {
            var tensors = sound
            try tensors.set("m.down.weight_shape", withUnsafeBytes(of: (rows, columns)) { Array($0) })
            #expect(throws: PackingError.self, "[\(rows), \(columns)]") { try reader.shape("m.down", options, in: tensors) }
        }
        let error = #expect(throws: PackingError.self) { try reader.check("m.up", LinearShape(rows: 32, columns: 64), options, sound.description) }
        #expect(error?.description == "tensor m.up.weight_packed is missing")
    }

    /// Schemes by what is written, not by how they were found: what was read again is written alike.
    @Test func schemesThatReadAlikeAreOne() throws {
        let linears = [QuantizationOptions(group: 32, grid: .mse), QuantizationOptions(group: 32, grid: .minmax)].map {
            SampleLinear([32], columns: 64, $0).linear
        }
        #expect(try #require(try format.configuration(linears, ignored: []))["config_groups"]?.object?.count == 1)
    }
}
