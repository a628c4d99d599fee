// Tiles of blocks as GGUF stores them: the blocks of a row one after the other, row after row.

internal import Compression
internal import LinearAlgebra

enum BlockCoding {
    /// - Parameter bytes: as many as the blocks take, all 0.
    static func encode(_ tile: QuantizedTile, into bytes: UnsafeMutablePointer<UInt8>) {
        guard let rules = tile.number.blocks, let blocks = tile.blocks else { preconditionFailure("\(tile.number) has no blocks") }
        let fields = BlockFields(tile.number), count = tile.codes.columns / rules.columns
        // Types without levels of offsets keep what is added, not what is taken away.
        let sign: Float = rules.levels == .none ? -1 : 1
        for row in 0..<tile.codes.rows {
            for block in 0..<count {
                let target = bytes + (row * count + block) * rules.byteCount, codes = tile.codes.row(row) + block * rules.columns
                write(blocks.scales[row, block], at: fields.scale, target)
                if let offset = fields.offset { write(sign * blocks.offsets[row, block], at: offset, target) }
                for (column, field) in fields.codes.enumerated() { field.write(fields.isSigned ? codes[column] ^ 0x80 : codes[column], to: target) }
                for (group, field) in fields.levels.enumerated() {
                    field.write(fields.stored(blocks.levels[row, block * rules.groups + group]), to: target)
                }
                for (group, field) in fields.offsetLevels.enumerated() {
                    field.write(fields.stored(blocks.offsetLevels[row, block * rules.groups + group]), to: target)
                }
            }
        }
    }

    /// - Parameters:
    ///   - bytes: whole rows of blocks.
    ///   - codes: [rows, columns], the result.
    static func decode(_ bytes: UnsafeRawBufferPointer, _ number: NumberType, _ rules: BlockRules, into codes: Matrix<UInt8>) -> BlockScales {
        let fields = BlockFields(number), count = codes.columns / rules.columns, groups = count * rules.groups
        let blocks = BlockScales(
            scales: Matrix(repeating: 0, codes.rows, count), offsets: Matrix(repeating: 0, codes.rows, count),
            levels: Matrix(repeating: 1, codes.rows, groups), offsetLevels: Matrix(repeating: 1, codes.rows, groups))
        precondition(bytes.count == codes.rows * count * rules.byteCount, "\(bytes.count) bytes for \(codes.rows) rows of \(count) blocks")
        guard let first = bytes.bindMemory(to: UInt8.self).baseAddress else { return blocks }
        let sign: Float = rules.levels == .none ? -1 : 1
        for row in 0..<codes.rows {
            for block in 0..<count {
                let source = first + (row * count + block) * rules.byteCount, target = codes.row(row) + block * rules.columns
                blocks.scales[row, block] = number16(source, fields.scale)
                if let offset = fields.offset { blocks.offsets[row, block] = sign * number16(source, offset) }
                for (column, field) in fields.codes.enumerated() {
                    let code = field.read(source, all: rules.bits)
                    target[column] = fields.isSigned ? code ^ 0x80 : code
                }
                for (group, field) in fields.levels.enumerated() {
                    blocks.levels[row, block * rules.groups + group] = fields.level(field.read(source, all: fields.levelBits))
                }
                for (group, field) in fields.offsetLevels.enumerated() {
                    blocks.offsetLevels[row, block * rules.groups + group] = fields.level(field.read(source, all: fields.levelBits))
                }
            }
        }
        return blocks
    }

    private static func write(_ number: Float, at byte: Int, _ block: UnsafeMutablePointer<UInt8>) {
        var (number, half) = (number, UInt16(0))
        Numbers.narrow(&number, intoFloat16: &half, count: 1)
        (block[byte], block[byte + 1]) = (UInt8(half & 0xff), UInt8(half >> 8))
    }

    private static func number16(_ block: UnsafePointer<UInt8>, _ byte: Int) -> Float {
        var (number, half) = (Float(0), UInt16(block[byte]) | UInt16(block[byte + 1]) << 8)
        Numbers.widen(float16: &half, into: &number, count: 1)
        return number
    }
}

extension BlockFields {
    fileprivate func stored(_ level: Float) -> UInt8 { UInt8(truncatingIfNeeded: Int(level) + levelBias) }

    fileprivate func level(_ stored: UInt8) -> Float {
        levelBits == 8 ? Float(Int8(bitPattern: stored)) : Float(Int(stored) - levelBias)
    }
}
