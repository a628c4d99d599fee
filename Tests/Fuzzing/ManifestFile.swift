// A cleave_manifest.json, up to what verification does with its numbers and names.

import Foundation

@testable import Pipeline

extension FuzzTarget {
    static let manifest = FuzzTarget(name: "manifest") { bytes in
        let directory = Scratch.makeFolder("verified")
        _ = Scratch.write(bytes, to: "verified/cleave_manifest.json")
        expecting(PipelineError.self) {
            let manifest = try Manifest.read(directory)
            claim(manifest.byteCount >= 0, "\(manifest.byteCount) bytes")
            claim(manifest.files.allSatisfy { !$0.name.utf8.contains(UInt8(ascii: "/")) && $0.name != ".." }, "a file outside the directory")
            _ = try manifest.text()
        }
    }
}
