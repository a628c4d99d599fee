// The attention of a model that GGUF can hold: what all of its blocks have in common.

internal import Foundation
package import Transformers

package enum GGUFAttention: Sendable {
    /// That of blocks that see all tokens before them, and of those with a window, where there are such.
    case grouped(Attention, sliding: Attention?)
    /// With the elements of the latent vector of keys and values, and of that of queries where there is one.
    case latent(LatentShape, keyValueRank: Int, queryRank: Int?)

    /// Of the norms of latent vectors in transformers; llama.cpp takes that of the other norms.
    private static let latentEpsilon: Float = 1e-6

    package var rotary: Rotary? {
        switch self {
        case .grouped(let attention, _): attention.rotary
        case .latent(let shape, _, _): shape.rotary
        }
    }

    /// - Throws: `PipelineError` naming what llama.cpp would compute otherwise.
    init(_ architecture: Architecture, _ family: GGUFFamily) throws {
        let latent = architecture.blocks.compactMap { block in block.stages.lazy.compactMap(\.latentShape).first }
        self = latent.isEmpty ? try Self.heads(architecture, family) : try Self.latentHeads(architecture, latent)
    }

    private static func heads(_ architecture: Architecture, _ family: GGUFFamily) throws -> GGUFAttention {
        let all = architecture.blocks.compactMap { block in block.stages.lazy.compactMap { $0.effect as? Attention }.first }
        let full = all.first { $0.window == nil }, sliding = all.first { $0.window != nil }
        guard let attention = full ?? sliding, all.count == architecture.blockCount,
            all.allSatisfy({ $0.hasShape(of: attention) && $0.isLike($0.window == nil ? full : sliding) })
        else { throw beyondGGUF("blocks whose attention differs") }
        guard let period = family.windowPeriod else {
            if sliding != nil { throw beyondGGUF("attention that sees a window of tokens") }
            try check(attention, architecture, family)
            return .grouped(attention, sliding: nil)
        }
        guard all.enumerated().allSatisfy({ ($0 % period < period - 1) == ($1.window != nil) }) else {
            throw beyondGGUF("windows in other blocks than all but every \(period)th, which llama.cpp takes for granted in \(family.architecture)")
        }
        try check(attention, architecture, family)
        if let sliding, !family.rotatesWindowsApart, sliding.rotary != attention.rotary {
            throw beyondGGUF("rotations that differ from block to block")
        }
        if let sliding, family.rotatesWindowsApart, sliding.rotary?.scaling != Rotary.Scaling.none {
            throw beyondGGUF("a scaled rotation in blocks with a window")
        }
        return .grouped(attention, sliding: sliding)
    }

    /// What all blocks have in common.
    private static func check(_ attention: Attention, _ architecture: Architecture, _ family: GGUFFamily) throws {
        if !family.hasFreeHeads, attention.heads * attention.headSize != architecture.hiddenSize {
            throw beyondGGUF("heads that are not together as wide as the residual stream, which llama.cpp takes for granted in \(family.architecture)")
        }
        if !family.sharesKeys, attention.heads != attention.keyValueHeads {
            throw beyondGGUF("heads that share keys and values, which llama.cpp does not take in its architecture \(family.architecture)")
        }
        if attention.clip != nil { throw beyondGGUF("queries, keys and values cut to a range (`clip_qkv`)") }
        if family.hasCaps != (attention.softcap != nil) {
            throw beyondGGUF(
                "scores \(attention.softcap == nil ? "without" : "with") a cap, which llama.cpp does not compute in its architecture \(family.architecture)")
        }
        let size = architecture.blockCount == family.blocksScaledByHidden ? architecture.hiddenSize / attention.heads : attention.headSize
        guard attention.scale == Float(1 / Double(size).squareRoot()) else {
            throw beyondGGUF("scores scaled otherwise than by 1 / sqrt(\(size)), as llama.cpp does it in its architecture \(family.architecture)")
        }
        guard let rotary = attention.rotary, rotary.size == attention.headSize, !rotary.isInterleaved else { throw beyondGGUF("heads rotated in part") }
        switch rotary.scaling {
        case .none, .linear, .llama3: break
        case .yarn, .dynamic, .longRope, .divided: throw beyondGGUF("rotations scaled in another way than linear or llama3")
        }
    }

    private static func latentHeads(_ architecture: Architecture, _ shapes: [LatentShape]) throws -> GGUFAttention {
        guard shapes.count == architecture.blockCount, Set(shapes).count == 1, let stages = architecture.blocks.first?.stages,
            let keyValue = stages.first(where: { $0.latentShape != nil })?.columns
        else { throw beyondGGUF("blocks whose attention differs") }
        let shape = shapes[0]
        guard let rotary = shape.rotary, rotary.size == shape.rotatedSize, rotary.isInterleaved else {
            throw beyondGGUF("latent attention that rotates halves of a head (`rope_interleave: false`)")
        }
        guard architecture.finalNorm.epsilon == latentEpsilon else {
            throw beyondGGUF("latent attention and a `rms_norm_eps` other than \(latentEpsilon), which llama.cpp takes for all norms")
        }
        switch rotary.scaling {
        case .none: break
        case .yarn(let yarn) where yarn.truncates && abs(yarn.amplitude - 1) < 1e-6: break
        default: throw beyondGGUF("rotations in latent attention scaled in another way than by yarn with `mscale` as `mscale_all_dim`")
        }
        // Queries come from a latent vector of their own, or from the input; llama.cpp goes by the number of blocks, and in one case by the vocabulary.
        let query = stages[0].linears[0], hasLatent = query.name.hasSuffix(".q_a_proj"), blocks = architecture.blockCount
        guard hasLatent != (blocks == 26 || blocks == 27 || blocks == 48 && architecture.vocabularySize == 128256) else {
            throw beyondGGUF(
                "\(blocks) blocks and queries that come from \(hasLatent ? "a latent vector" : "the input"), which llama.cpp does not take in its architecture "
                    + "deepseek2")
        }
        return .latent(shape, keyValueRank: keyValue, queryRank: hasLatent ? query.rows : nil)
    }
}

extension LatentShape {
    /// `mscale_all_dim` of config.json: scores have the factor (1 + 0.1 m ln(factor))^2 beside that of the head's size.
    package func scoreLogarithm(_ yarn: YaRN) -> Double {
        let factor = Double(scale) * Double(plainSize + rotatedSize).squareRoot()
        return yarn.factor > 1 ? (factor.squareRoot() - 1) / (0.1 * log(yarn.factor)) : 0
    }
}

extension Attention {
    /// Whether another's heads are those of this one.
    fileprivate func hasShape(of other: Attention) -> Bool {
        (heads, keyValueHeads, headSize) == (other.heads, other.keyValueHeads, other.headSize) && scale == other.scale && softcap == other.softcap
            && layout == .separate
    }

    fileprivate func isLike(_ other: Attention?) -> Bool { window == other?.window && rotary == other?.rotary }
}
