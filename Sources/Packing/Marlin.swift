// The order in which Marlin's kernel keeps codes and scales.

/// Source: marlin, `marlin/__init__.py`.
enum Marlin {
    /// Columns and rows of a tile of codes, and rows of a run of codes that are permuted together.
    static let (tile, run) = (16, 64)

    /// Place -> code, of the codes of four tiles (16 columns x 64 rows), each tile by its columns.
    static let order: [Int] = {
        var places: [Int] = []
        for lane in 0..<32 {
            var ones: [Int] = []
            for block in 0..<2 {
                for column in [2 * (lane % 4), 2 * (lane % 4) + 1, 2 * (lane % 4 + 4), 2 * (lane % 4 + 4) + 1] {
                    ones.append(16 * column + lane / 4 + 8 * block)
                }
            }
            for tile in 0..<4 { places += ones.map { $0 + 256 * tile } }
        }
        // The kernel takes a word's codes apart in this order.
        return stride(from: 0, to: places.count, by: 8).flatMap { start in [0, 2, 4, 6, 1, 3, 5, 7].map { places[start + $0] } }
    }()

    /// Code -> place: the inverse of `order`.
    static let placeOfCode: [Int] = {
        var places = [Int](repeating: 0, count: order.count)
        for (place, code) in order.enumerated() { places[code] = place }
        return places
    }()

    /// Place -> scale, of the scales of 64 rows, or of 32 when a row has one scale.
    static func scaleOrder(groups: Int) -> [Int] {
        groups > 1
            ? (0..<8).flatMap { i in (0..<8).map { i + 8 * $0 } }
            : (0..<4).flatMap { i in [0, 1, 8, 9, 16, 17, 24, 25].map { 2 * i + $0 } }
    }
}
