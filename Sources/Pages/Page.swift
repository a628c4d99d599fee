// The page of one run, or of several beside each other: one HTML file that needs nothing beside it.

public import Foundation
internal import Mustache
public import Reporting

/// A page for people, made of what is known of runs.
public struct Page {
    /// Runs that a page can tell apart.
    public static let mostResults = 8

    private let accounts: [RunAccount]
    private let now: Date

    /// - Parameters:
    ///   - accounts: one for a run's own page, several to compare them.
    ///   - now: when the page is made.
    public init(_ accounts: [RunAccount], now: Date = .now) {
        self.accounts = accounts
        self.now = now
    }

    /// The page's text.
    public func html() throws -> String {
        MustacheContentTypes.register(HTMLText(), named: HTMLText.name)
        var library = MustacheLibrary()
        for (name, bytes) in Self.parts { try library.register(String(decoding: bytes, as: UTF8.self), named: name) }
        let style = String(decoding: PackageResources.style_css, as: UTF8.self)
        return library.render(PageContent(accounts, style: style, now: now), withTemplate: "page") ?? ""
    }

    /// The templates by the names under which they call each other.
    private static var parts: [(String, [UInt8])] {
        [
            ("page", PackageResources.page_mustache), ("depth", PackageResources.depth_mustache), ("map", PackageResources.map_mustache),
            ("bars", PackageResources.bars_mustache), ("provenance", PackageResources.provenance_mustache),
        ]
    }
}

/// What the template `page` reads.
struct PageContent {
    let title: String
    let style: String
    let made: String
    let version: String
    let isAlone: Bool
    let heads: [Head]
    let comparison: Comparison?
    let deviations: DeviationTable?
    let hasFigures: Bool
    let depthCharts: [DepthCharts]
    let hasBits: Bool
    let bitMaps: [HeatMap]
    let hasExperts: Bool
    let expertMaps: [ExpertMaps]
    let hasTimes: Bool
    let timeComparison: BarStack?
    let times: [TimeCharts]
    let hasMemories: Bool
    let memories: [MemoryCharts]
    let hasLinears: Bool
    let linearTables: [LinearTable]
    let provenances: [Provenance]

    init(_ accounts: [RunAccount], style: String, now: Date) {
        let runs = PageRun.all(accounts)
        let isAlone = runs.count == 1
        self.isAlone = isAlone
        self.style = style
        made = now.formatted(.iso8601)
        version = runs.map(\.report.cleave).unique().joined(separator: ", ")
        heads = runs.map { Head($0, deviations: $0.report.notableDeviations().count) }
        title = isAlone ? "\(runs[0].model): \(runs[0].name)" : runs.map(\.name).joined(separator: ", ")
        comparison = isAlone ? nil : Comparison(heads)
        deviations = DeviationTable(runs)
        let tables = runs.map { LinearTable($0, isAlone: isAlone) }
        let anchors = tables.map { $0?.anchors ?? [:] }
        depthCharts = [
            DepthCharts(
                runs, heading: "Relative output error",
                explanation: "The size of the error of a linear's outputs, as a share of the outputs themselves, on calibration text.",
                anchors: anchors, value: \.relativeOutputError),
            DepthCharts(
                runs, heading: "Loss", explanation: "The squared error of a linear's outputs, summed over calibration tokens, with the damped Hessian.",
                anchors: anchors.map { _ in [:] }, value: \.loss),
        ].compactMap { $0 }
        hasFigures = !depthCharts.isEmpty
        bitMaps = runs.compactMap { HeatMap.bits($0, isAlone: isAlone) }
        hasBits = !bitMaps.isEmpty
        expertMaps = runs.compactMap { ExpertMaps($0, isAlone: isAlone) }
        hasExperts = !expertMaps.isEmpty
        timeComparison = isAlone ? nil : TimeCharts.comparison(runs)
        times = runs.compactMap { TimeCharts($0, isAlone: isAlone) }
        hasTimes = !times.isEmpty
        memories = runs.compactMap { MemoryCharts($0, isAlone: isAlone) }
        hasMemories = !memories.isEmpty
        linearTables = tables.compactMap { $0 }
        hasLinears = !linearTables.isEmpty
        provenances = runs.map(Provenance.init)
    }
}
