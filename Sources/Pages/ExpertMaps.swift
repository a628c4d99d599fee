// How calibration tokens fell to the experts of each block.

internal import Foundation
internal import Reporting

/// A map of tokens over experts, and a table of blocks.
struct ExpertMaps {
    struct Block {
        let blockName: String
        let experts: String
        let tokens: String
        let starved: String
        let borrowed: String
        let balance: String
    }

    /// nil in reports that do not say it of each expert.
    let map: HeatMap?
    let blocks: [Block]
    let caption: String

    /// More experts than this share cells.
    private static let mostColumns = 128

    /// nil without experts.
    init?(_ run: PageRun, isAlone: Bool) {
        guard let mixtures = run.report.mixtures, !mixtures.isEmpty else { return nil }
        let name = isAlone ? "" : "\(run.name): "
        caption = "\(name)calibration tokens of experts, by block"
        blocks = mixtures.map { mixture in
            Block(
                blockName: mixture.block, experts: grouped(mixture.experts),
                tokens: "\(grouped(mixture.leastTokens)) / \(grouped(mixture.medianTokens)) / \(grouped(mixture.mostTokens))",
                starved: "\(grouped(mixture.starvedExperts)) below \(grouped(mixture.minimumTokens))", borrowed: grouped(mixture.borrowedTokens),
                balance: mixture.balance.map { format($0, digits: 2) } ?? "")
        }
        map = Self.map(mixtures, name)
    }

    private static func map(_ mixtures: [MixtureReport], _ name: String) -> HeatMap? {
        let shown = mixtures.compactMap { mixture in mixture.routedTokens.map { (mixture: mixture, routed: $0) } }
        let experts = shown.map(\.routed.count).max() ?? 0
        guard experts > 0 else { return nil }
        let most = max(shown.flatMap(\.routed).max() ?? 1, 1)
        let width = (experts + mostColumns - 1) / mostColumns
        let rows = shown.map { mixture, routed in
            let cells = stride(from: 0, to: routed.count, by: width).map { first -> HeatMap.Cell? in
                let members = first..<min(first + width, routed.count)
                let (least, greatest) = (routed[members].min() ?? 0, routed[members].max() ?? 0)
                let borrowed = members.reduce(0) { sum, expert in
                    sum + (mixture.borrowedByExpert.flatMap { $0.indices.contains(expert) ? $0[expert] : nil } ?? 0)
                }
                let who = members.count == 1 ? "expert \(first)" : "experts \(first) to \(members.upperBound - 1)"
                let tokens = least == greatest ? counted(least, "token") : "\(grouped(least)) to \(grouped(greatest)) tokens"
                return HeatMap.Cell(
                    level: level(least, minimum: mixture.minimumTokens, most: most),
                    text: "\(mixture.block), \(who): \(tokens)\(borrowed > 0 ? ", \(grouped(borrowed)) borrowed" : "")")
            }
            return (name: mixture.block, cells: cells, remark: "\(grouped(mixture.starvedExperts))")
        }
        return HeatMap(
            caption: "\(name)tokens of each expert" + (width > 1 ? ", \(width) experts in a cell, which shows the one with the fewest" : ""), head: "block",
            remarkHead: "starved", rows: rows, levels: [starved] + (0..<steps).map { step($0, most: most) }, columns: ("expert 0", "expert \(experts - 1)"))
    }

    // MARK: - Levels

    private static let starved = HeatMap.Level(style: "starved", label: "starved: below the block's minimum")
    private static let steps = 5

    /// Halves of the most from the top down: 16ths and less, 8ths, 4ths, halves, all.
    private static func level(_ tokens: Int, minimum: Int, most: Int) -> HeatMap.Level {
        guard tokens >= minimum else { return starved }
        let halvings = tokens > 0 ? Int(log2(Double(most) / Double(tokens))) : steps
        return step(max(steps - 1 - halvings, 0), most: most)
    }

    private static func step(_ index: Int, most: Int) -> HeatMap.Level {
        let top = Double(most) / pow(2, Double(steps - 1 - index))
        return HeatMap.Level(style: "t\(index)", label: "up to \(grouped(Int(top)))")
    }
}
