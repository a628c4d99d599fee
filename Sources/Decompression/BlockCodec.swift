// Blocks whose decompressed size is known, as the pages of a Parquet table are.

internal import CSnappy
internal import CZstd

/// How a block is compressed.
package enum BlockCodec: Sendable {
    case none, snappy, gzip, zstd

    /// Decompresses a block.
    ///
    /// - Parameter count: bytes of what it stands for.
    /// - Returns: nil for a block that is damaged, or that stands for another number of bytes.
    package func decompress(_ block: UnsafeRawBufferPointer, count: Int) -> [UInt8]? {
        switch self {
        case .none: block.count == count ? [UInt8](block) : nil
        case .gzip: Self.inflated(block, count)
        case .snappy:
            Self.filled(count) { target in
                var (stated, made) = (0, count)
                let source = block.bindMemory(to: CChar.self).baseAddress
                guard snappy_uncompressed_length(source, block.count, &stated) == SNAPPY_OK, stated == count,
                    snappy_uncompress(source, block.count, target.bindMemory(to: CChar.self).baseAddress, &made) == SNAPPY_OK
                else { return nil }
                return made
            }
        case .zstd:
            Self.filled(count) { target in
                let made = ZSTD_decompress(target.baseAddress, count, block.baseAddress, block.count)
                return ZSTD_isError(made) == 0 ? made : nil
            }
        }
    }

    private static func filled(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int?) -> [UInt8]? {
        var made: Int?
        // An array without elements has no address.
        let bytes = [UInt8](unsafeUninitializedCapacity: max(count, 1)) { target, initialized in
            made = body(UnsafeMutableRawBufferPointer(target))
            initialized = made == count ? count : 0
        }
        return made == count ? bytes : nil
    }

    private static func inflated(_ block: UnsafeRawBufferPointer, _ count: Int) -> [UInt8]? {
        let decoder = GzipDecoder()
        return filled(count) { target in
            var (used, made) = (0, 0)
            while used < block.count {
                guard
                    let step = try? decoder.decode(
                        UnsafeRawBufferPointer(rebasing: block[used...]), into: UnsafeMutableRawBufferPointer(rebasing: target[made...])),
                    step.used + step.made > 0
                else { return nil }
                used += step.used
                made += step.made
            }
            return decoder.isBetweenUnits ? made : nil
        }
    }
}
