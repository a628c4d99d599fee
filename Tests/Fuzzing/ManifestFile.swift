// A cleave_manifest.json as it is, and again with the right checksum, up to what verification does with its numbers and names.

import Failures
import Foundation

@testable import Checkpoints

extension FuzzTarget {
    static let manifest = FuzzTarget(name: "manifest") { bytes in
        let directory = Scratch.makeFolder("verified")
        let resealed = try? JSONDecoder().decode(Manifest.self, from: Data(bytes)).sealedJSON(pretty: true)
        for text in [bytes, resealed].compactMap({ $0 }) {
            _ = Scratch.write(text, to: "verified/cleave_manifest.json")
            expecting(PipelineError.self) {
                let manifest = try Manifest.read(directory)
                claim(manifest.byteCount >= 0, "\(manifest.byteCount) bytes")
                claim(manifest.files.allSatisfy { !$0.name.utf8.contains(UInt8(ascii: "/")) && $0.name != ".." }, "a file outside the directory")
            }
        }
    }
}
