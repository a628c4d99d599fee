// cleave_manifest.json: what a finished checkpoint is made of, for verification at any later time.

internal import Failures
internal import Foundation
package import Models
internal import Packing
internal import Recipes
internal import Safetensors
internal import Transformers

/// The files and tensors of a finished checkpoint with their checksums, and how it was made. The same bytes for any number of ranks.
package struct Manifest: Sealed, Equatable {
    static let fileName = "cleave_manifest.json"

    static func path(in directory: String) -> String { directory + "/" + fileName }

    package struct File: Codable, Equatable {
        var name: String
        package var bytes: Int
        /// XXH3 (64 bits) of the file.
        var xxh3: String
    }

    struct Tensor: Codable, Equatable {
        var type: String
        var shape: [Int]
        /// The file it lies in.
        var file: String
    }

    /// A file of the source.
    package struct Source: Codable, Equatable {
        var bytes: Int
        /// XXH3 of the XXH3 of each 16 MiB.
        var digest: String
    }

    struct Calibration: Codable, Equatable {
        /// XXH3 of the ids as little-endian int32.
        var idsHash: String
        var sequences: Int
        var length: Int
        var seed: UInt64
    }

    /// How the source's weights were rotated.
    struct Rotation: Codable, Equatable {
        /// Elements of the residual stream that are rotated together.
        var block: Int
        /// Attention layers whose heads have rotated values.
        var attentions: Int
    }

    /// Which experts of the source are left.
    package struct Experts: Codable, Equatable {
        /// Of a block of the source.
        var of: Int
        /// By the block's number, ascending: the number of an expert in the result is its place here.
        var kept: [Int: [Int]]
        /// Of a block of the model from which experts were taken out first; nil: that is the source.
        var original: Int?

        /// - Parameter earlier: what was taken out of the source itself.
        package init(of: Int, kept: [Int: [Int]], after earlier: Self?) {
            (self.of, self.kept, original) = (of, kept, earlier?.ofOriginal)
        }
    }

    package var cleave: String
    /// Of the run that made the codes; nil, as are the two below, where another program made them.
    package var planHash: String?
    var propagation: String?
    var compute: String?
    var format: String
    var calibration: Calibration?
    /// nil where they were not.
    var rotation: Rotation?
    /// Groups of channels that were scaled to one size; nil: none.
    var equalizedChannels: Int?
    /// nil where all are.
    package var experts: Experts?
    /// What it was made from.
    package var source: [String: Source]
    /// The treatment of each compressed linear.
    var linears: [String: Treatment]
    var tensors: [String: Tensor]
    var files: [File]
    package var seal: String?

    /// Bytes of all files.
    var byteCount: Int { files.reduce(0) { $0 + $1.bytes } }

    /// Reads the manifest of a checkpoint directory.
    package static func read(_ directory: String) throws -> Manifest {
        let path = path(in: directory)
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PipelineError(
                .missingInput, "\(path) is missing: \(directory) was not written by Cleave, or its merge has not finished (run `cleave merge` again)")
        }
        guard let manifest = Manifest(sealedJSON: data) else {
            throw PipelineError(.badInput, "\(path) is damaged: its checksum is not that of its content")
        }
        // No disk holds as much, and sums of sizes below it do not overflow.
        let largest = Int.max / max(manifest.files.count, 1)
        for file in manifest.files {
            guard FilePath.isName(file.name), (0...largest).contains(file.bytes) else {
                throw PipelineError(.badInput, "\(path) is damaged: a file \"\(file.name)\" of \(file.bytes) bytes")
            }
        }
        return manifest
    }
}

extension Manifest {
    /// Of a result that no plan made. Tensors and files are named when they are written.
    ///
    /// - Parameter source: what it is made from.
    package init(cleave: String, format: String, source: [String: Source]) {
        self.init(cleave: cleave, format: format, source: source, linears: [:], tensors: [:], files: [])
    }
}

extension Manifest {
    /// Says of a result in which way its weights were changed.
    mutating func note(_ model: EquivalentArchitecture) {
        rotation = model.block.map { Rotation(block: $0, attentions: model.rotatedAttentions) }
        equalizedChannels = model.equalizedChannels
    }
}

extension EquivalentArchitecture {
    /// Groups of channels that were scaled; nil where none were.
    var equalizedChannels: Int? { channels.isEmpty ? nil : channels.count }
}

extension SourceFiles {
    /// As the manifest names them.
    package var entries: [String: Manifest.Source] { files.mapValues { Manifest.Source(bytes: $0.bytes, digest: $0.digest) } }
}
