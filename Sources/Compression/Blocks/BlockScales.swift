// The scales and offsets of a tile of blocks, as they are stored.

public import LinearAlgebra

/// A = scale * level, B = offset * offset's level; see `BlockRules`.
public struct BlockScales: @unchecked Sendable {
    /// [rows, blocks], each exactly a 16-bit number.
    public let scales: Matrix<Float>
    /// [rows, blocks] as those; 0 of types whose offset follows from the zero code.
    public let offsets: Matrix<Float>
    /// [rows, groups], integers; 1 of types without levels.
    public let levels: Matrix<Float>
    public let offsetLevels: Matrix<Float>

    public init(scales: Matrix<Float>, offsets: Matrix<Float>, levels: Matrix<Float>, offsetLevels: Matrix<Float>) {
        self.scales = scales
        self.offsets = offsets
        self.levels = levels
        self.offsetLevels = offsetLevels
    }

    /// A and B of a group of a row. The products are exact in fp32.
    public func grid(_ row: Int, _ group: Int, _ rules: BlockRules) -> (scale: Float, offset: Float) {
        let block = group / rules.groups, scale = scales[row, block] * levels[row, group]
        return (scale, rules.zero.map { scale * Float($0) } ?? offsets[row, block] * offsetLevels[row, group])
    }

    /// A of all groups: [rows, groups]
    public func gridScales(_ rules: BlockRules) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: levels.rows, levels.columns)
        for row in 0..<levels.rows { for group in 0..<levels.columns { result[row, group] = grid(row, group, rules).scale } }
        return result
    }

    /// The weights of codes [rows, columns], into as many: A q - B, rounded once.
    public func dequantize(_ codes: Matrix<UInt8>, _ rules: BlockRules, into weights: Matrix<Float>) {
        let numbers = rules.numbers
        for row in 0..<codes.rows {
            let (code, target) = (codes.row(row), weights.row(row))
            for (group, columns) in (0..<codes.columns).cut(every: rules.groupColumns).enumerated() {
                let (scale, offset) = grid(row, group, rules)
                for column in columns { target[column] = scale * numbers[Int(code[column])] - offset }
            }
        }
    }
}
