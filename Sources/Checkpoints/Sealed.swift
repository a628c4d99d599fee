// JSON that carries its own checksum, so that no damage to it goes unnoticed.

package import Foundation
internal import Safetensors

/// A value that is written with the checksum of its own JSON.
package protocol Sealed: Codable {
    /// XXH3 of the JSON without this key; nil before writing.
    var seal: String? { get set }
}

extension Sealed {
    /// The sealed JSON: sorted keys, on one line unless `pretty`.
    package func sealedJSON(pretty: Bool = false) throws -> [UInt8] {
        var sealed = self
        sealed.seal = try expectedSeal()
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(sealed)) + [UInt8(ascii: "\n")]
    }

    /// The value of sealed JSON; nil when it is cut off or damaged.
    package init?(sealedJSON: Data) {
        guard let found = try? JSONDecoder().decode(Self.self, from: sealedJSON), let expected = try? found.expectedSeal(), found.seal == expected
        else { return nil }
        self = found
    }

    private func expectedSeal() throws -> String {
        var open = self
        open.seal = nil
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(open).withUnsafeBytes { Checksum.of($0) }
    }
}
