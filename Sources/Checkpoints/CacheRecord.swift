// What a run has measured of keys and values, kept in its work directory until the result has their scales.

internal import Foundation
internal import Safetensors
package import Sharding

/// OUTPUT/cleave/cache.json: the largest keys and values of each attention. What is missing is measured again, to the same bits.
package struct CacheRecord: Sealed {
    var planHash: String
    /// Checksum of the source's files.
    var sourceDigest: String
    /// By the block's number, the bits of the largest |k| of each head, then of the largest |v|.
    private var blocks: [Int: [UInt32]] = [:]
    package var seal: String?

    package init(_ identity: RunIdentity) {
        (planHash, sourceDigest) = (identity.planHash, identity.sourceDigest)
    }

    /// Of keys by head, then of values by head; nil where they are still to be measured.
    package subscript(block: Int) -> [Float]? {
        get { blocks[block]?.map { Float(bitPattern: $0) } }
        set { blocks[block] = newValue?.map(\.bitPattern) }
    }

    /// That of the run with this identity; an empty one where there is none, or one that is damaged or another run's.
    package static func read(_ work: WorkDirectory, _ identity: RunIdentity, _ plan: Plan) -> CacheRecord {
        let empty = CacheRecord(identity)
        guard let found = FileManager.default.contents(atPath: work.cache).flatMap(CacheRecord.init(sealedJSON:)) else { return empty }
        return RunIdentity(planHash: found.planHash, sourceDigest: found.sourceDigest) == identity && found.fits(plan) ? found : empty
    }

    /// A record with a sound checksum may still come from elsewhere.
    private func fits(_ plan: Plan) -> Bool {
        let heads = Dictionary(uniqueKeysWithValues: plan.cachedAttention.map { ($0.block, $0.heads) })
        return blocks.keys.allSatisfy { block in
            heads[block].map { self[block]?.count == 2 * $0 } == true && self[block]?.allSatisfy { $0.isFinite && $0 >= 0 } == true
        }
    }

    package func save(_ work: WorkDirectory) throws { try AtomicFile.write(sealedJSON(), to: work.cache) }
}
