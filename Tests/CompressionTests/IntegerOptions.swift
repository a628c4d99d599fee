// Options of integer codes as the references in Python name them.

import Compression

struct IntegerOptions: Decodable {
    let bits: Int
    let group: Int
    let symmetric: Bool
    let signedScales: Bool
    let grid: Grid
    let actOrder: Bool
    let wholeGroups: Bool
    let staticGroups: Bool
    let scaleType: ScaleType
    let leastZero: Int

    var options: QuantizationOptions {
        QuantizationOptions(
            bits: bits, group: group, symmetric: symmetric, signedScales: signedScales, grid: grid, actOrder: actOrder, wholeGroups: wholeGroups,
            staticGroups: staticGroups, scaleType: scaleType, leastZero: leastZero)
    }
}
