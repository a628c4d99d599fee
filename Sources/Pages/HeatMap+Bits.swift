// Bits of each linear: kinds of linears over depth.

internal import Reporting

extension HeatMap {
    /// The widths of a run's linears; nil without linears.
    static func bits(_ run: PageRun, isAlone: Bool) -> HeatMap? {
        let linears = run.linears
        guard !linears.isEmpty else { return nil }
        let depths = linears.compactMap(\.place.depth)
        let (first, last) = (depths.min() ?? 0, depths.max() ?? 0)
        var cells: [String: [Int: [LinearReport]]] = [:]
        for (place, linear) in linears { cells[place.kind, default: [:]][(place.depth ?? first) - first, default: []].append(linear) }
        let rows = linears.map(\.place.kind).unique().map { kind in
            let found = cells[kind] ?? [:]
            let row = (0...(last - first)).map { column -> Cell? in
                guard let those = found[column], let linear = those.first else { return nil }
                let bits = Set(those.map { $0.bits ?? 16 }).sorted()
                let many = those.count > 1 ? "\(counted(those.count, "linear")) of \(kind)" : linear.name
                return Cell(level: level(bits.last ?? 16, isPruned: those.contains { $0.sparsity != nil }), text: "\(many): \(words(bits))\(sparsity(those))")
            }
            let bits = Set(found.values.flatMap { $0.map { $0.bits ?? 16 } }).sorted()
            return (name: kind, cells: row, remark: bits.map { "\($0)" }.joined(separator: ", "))
        }
        let widths = [2, 3, 4, 8, 16]
        return HeatMap(
            caption: "\(isAlone ? "" : "\(run.name): ")bits of a weight, by kind of linear over depth", head: "linear", remarkHead: "bits", rows: rows,
            levels: widths.map { level($0, isPruned: false) } + widths.map { level($0, isPruned: true) }, columns: ("block \(first)", "block \(last)"))
    }

    private static func level(_ bits: Int, isPruned: Bool) -> Level {
        Level(style: "b\(bits)\(isPruned ? " pruned" : "")", label: "\(words([bits]))\(isPruned ? ", pruned" : "")")
    }

    private static func words(_ bits: [Int]) -> String { bits.map { $0 == 16 ? "unquantized" : "\($0) bits" }.joined(separator: ", ") }

    private static func sparsity(_ linears: [LinearReport]) -> String {
        guard let most = linears.compactMap(\.sparsity).max() else { return "" }
        return ", \(format(100 * most, digits: 1)) % zeros"
    }
}
