// Pages: what stands on them, of runs of every kind, and that nothing which others wrote becomes markup.

import Foundation
import Pages
import Reporting
import Testing

@Suite struct PageTests {
    private func account(_ name: String = "w4", state: StatusReport.State = .finished, linears: [LinearReport] = []) -> RunAccount {
        var report = RunReport(
            cleave: "1.2.3", model: "models/llama", planHash: "00ff",
            calibration: CalibrationReport(source: "c4.jsonl", sequences: 2, length: 3, seed: 17, idsHash: "ab", distinctTokens: 5),
            tiles: TileCounts(solved: 3, reused: 1), wallSeconds: 75)
        report.linears = linears
        report.ranks = [
            RankReport(
                rank: 0, host: "a", seconds: [.forward: 3, .solve: 1], operations: [.forward: 6e9], bytesSent: 1, bytesRead: 1, peakMemoryBytes: 3_000_000),
            RankReport(rank: 1, host: "b", seconds: [.forward: 1], operations: [.forward: 3e9], bytesSent: 2, bytesRead: 5, peakMemoryBytes: 5_000_000),
        ]
        report.memory = MemoryReport(limitBytes: nil, boundBytes: 4_000_000, phases: ["solve": 4_000_000, "embed": 1_000_000])
        report.size = SizeReport(sourceBytes: 4000, outputBytes: 1000, bitsPerWeight: 4.25, sourceBitsPerWeight: 16)
        return RunAccount(status: StatusReport(state: state, output: "out/\(name)"), report: report, isComplete: true)
    }

    private func linear(_ name: String, error: Double? = nil, loss: Double? = nil, bits: Int? = 4) -> LinearReport {
        var linear = LinearReport(name: name, method: "gptq", bits: bits, group: 64, columns: 256)
        (linear.relativeOutputError, linear.loss, linear.tokens) = (error, loss, 4096)
        return linear
    }

    private func html(_ accounts: RunAccount...) throws -> String {
        try Page(accounts, now: Date(timeIntervalSince1970: 0)).html()
    }

    /// Starts of tags and ends of attributes, also with an accent upon them, as no page of Cleave's own has them.
    private static let hostile =
        "<script>alert(1)</script>\"><img src=x onerror=alert(2)> \"\u{301} onload=\"\u{301}alert(3)\"\u{301} '\u{301} \u{0} {{title}} &lt;"

    @Test func typesOfNumbersAreNamed() throws {
        var rounded = linear("model.layers.0.q", error: 0.1, bits: 4)
        (rounded.type, rounded.group) = ("nvfp4", 16)
        #expect(try html(account("a", linears: [rounded])).contains("gptq, nvfp4, groups of 16"))
    }

    @Test func namesOfOthersAreText() throws {
        var account = account(Self.hostile, state: .failed, linears: [linear(Self.hostile, error: 0.1), linear("a.0.\(Self.hostile)", error: 0.2)])
        account.report.linears[0].fallback = Self.hostile
        account.report.model = Self.hostile
        account.report.calibration?.source = Self.hostile
        account.report.ranks[0].host = Self.hostile
        account.report.mixtures = [MixtureReport(block: Self.hostile, routed: [1, 2], summed: [4, 2], minimum: 2, balance: 1)]
        account.status.lastError = Self.hostile
        (account.recipe, account.overrides, account.platforms) = (Self.hostile, [Self.hostile], [Self.hostile])
        account.evaluations = [
            SavedEvaluation(
                data: Self.hostile, compute: "f32", reference: Self.hostile, result: EvaluationReport(perplexity: 2, tokens: 3, windows: 1, length: 3))
        ]
        let plain = try Set(html(self.account(linears: [linear("a.0.b", error: 0.1)])).unicodeScalars.filter { $0.value < 0x20 })
        for text in [try html(account), try html(account, self.account("other"))] {
            #expect(text.contains("&lt;script&gt;alert(1)") && text.contains("{{title}}") && text.contains("&amp;lt;"))
            #expect(!text.contains("<script") && !text.contains("<img"))
            // By scalars, as browsers read: characters would hide a quote under its accent.
            let scalars = Array(text.unicodeScalars)
            let accents = scalars.indices.filter { scalars[$0] == "\u{301}" }
            #expect(!accents.isEmpty && accents.allSatisfy { scalars[$0 - 1] == ";" })
            #expect(Set(scalars.filter { $0.value < 0x20 }) == plain)
        }
    }

    /// One file: what a browser would fetch is not there.
    @Test func aPageNeedsNothingBesideIt() throws {
        let text = try html(account(linears: [linear("a.0.b", error: 0.1)]))
        for fetched in ["http:", "https:", "src=", "url(", "@import", "<script", "<link rel=\"stylesheet\""] { #expect(!text.contains(fetched), "\(fetched)") }
        #expect(text.hasPrefix("<!doctype html>") && text.contains("</html>") && !text.contains("{{"))
    }

    @Test func aFinishedRun() throws {
        let names = (0..<3).flatMap { block in ["q_proj", "down_proj"].map { "model.layers.\(block).\($0)" } }
        let text = try html(account(linears: names.enumerated().map { linear($1, error: 0.01 * Double($0 + 1), loss: Double($0)) }))
        #expect(text.contains("Finished and verified") && text.contains("4.00 times smaller"))
        #expect(text.contains("<h1>llama</h1>") && text.contains("00ff") && text.contains("<dd>17</dd>") && text.contains("1.2.3"))
        #expect(text.components(separatedBy: "<figcaption>q_proj</figcaption>").count == 3)
        #expect(text.contains("<title>model.layers.2.down_proj: 0.06</title>"))
        #expect(text.contains("href=\"#r0l0\" aria-label=\"model.layers.2.down_proj: 0.06\"") && text.contains("<tr id=\"r0l0\">"))
        // A rank above its bound is not coloured as the others.
        #expect(text.components(separatedBy: "class=\"above\"").count == 2)
        #expect(text.contains("rank 0, forward: 3.00 s") && !text.contains("Before you trust it"))
    }

    @Test func whatWentOtherwiseComesFirst() throws {
        var account = account(linears: [linear("a.0.q", error: 0.1), linear("a.0.k")])
        (account.report.linears[0].attempts, account.report.linears[0].damping, account.report.linears[0].deadColumns) = (3, 0.1, 2)
        account.report.linears[1].fallback = "no tokens"
        account.report.mixtures = [MixtureReport(block: "a.0", routed: [1, 200, 90], summed: [70, 200, 90], minimum: 100, balance: nil)]
        let text = try html(account)
        let table = try #require(text.range(of: "Before you trust it: 4 remarks")), charts = try #require(text.range(of: "<h2>Relative output error"))
        #expect(table.lowerBound < charts.lowerBound)
        for row in ["fallback", "dead columns", "raised damping", "starved experts"] { #expect(text.contains("<th scope=\"row\">\(row)</th>"), "\(row)") }
        #expect(text.contains("a.0, expert 0: 1 token, 69 borrowed") && text.contains("2 of 3 experts got fewer than 100 tokens"))
    }

    @Test func manyDeviationsAreCountedAndNotAllShown() throws {
        var account = account(linears: (0..<500).map { linear("a.\($0).q") })
        for index in account.report.linears.indices { account.report.linears[index].fallback = "singular" }
        let text = try html(account)
        #expect(text.contains("500 remarks") && text.contains("480 more of these kinds") && text.contains("200 of 500 linears"))
        #expect(text.components(separatedBy: "rounded to nearest: singular").count == 21)
    }

    @Test(arguments: [Double.nan, .infinity, 0, -1])
    func lossesThatAreNoNumbers(value: Double) throws {
        let text = try html(account(linears: [linear("a.0.q", error: value, loss: value), linear("a.1.q", error: 0.1, loss: 5)]))
        #expect(!text.contains("NaN") && !text.contains("=\"nan\"") && !text.contains("\"inf\"") && !text.contains("translate(n"))
        if !value.isFinite { #expect(text.contains("a.0.q: \(value.isNaN ? "not a number" : "infinite")") && text.contains("class=\"dot bad\"")) }
    }

    @Test func aRunOfNothing() throws {
        var report = RunReport(cleave: "1", model: "", planHash: "", calibration: nil, tiles: TileCounts(solved: 0, reused: 0), wallSeconds: 0)
        let empty = RunAccount(status: StatusReport(state: .interrupted, output: ""), report: report, isComplete: false)
        #expect(try html(empty).contains("Unfinished: not running, and not finished"))
        report.mixtures = []
        report.memory = MemoryReport(limitBytes: 5, boundBytes: 0, phases: [:])
        #expect(try html(empty, RunAccount(status: StatusReport(state: .finished, output: "/"), report: report, isComplete: true)).contains("</html>"))
    }

    @Test func anUnfinishedRunSaysSoAndHowFarItIs() throws {
        var account = account(state: .running, linears: [linear("a.0.q", error: 0.1)])
        account.isComplete = false
        account.status.part = .compress
        (account.status.tiles, account.status.linears) = (.init(done: 30, total: 120), .init(done: 1, total: 4))
        (account.status.tilesPerSecond, account.status.secondsLeft) = (1.5, 60)
        let text = try html(account)
        #expect(text.contains("Unfinished: running, compressing") && text.contains("25 %") && text.contains("30 of 120 tiles, 1 of 4 linears"))
        #expect(text.contains("60.0 s") && !text.contains("Wall time"))
    }

    @Test func evaluationsAreShown() throws {
        var account = account()
        account.report.before = EvaluationReport(perplexity: 20, tokens: 64, windows: 2, length: 32)
        account.report.after = EvaluationReport(perplexity: 21, tokens: 64, windows: 2, length: 32)
        var later = EvaluationReport(perplexity: 30.5, tokens: 64, windows: 2, length: 32)
        later.comparison = PredictionComparison(divergence: 0.0123, sameChoices: 0.875)
        account.evaluations = [SavedEvaluation(time: Date(timeIntervalSince1970: 0), data: "wiki.txt", compute: "f32", reference: "dense", result: later)]
        let text = try html(account)
        #expect(text.contains("dense 20.000, +5.00 %") && text.contains("0.0123 nats") && text.contains("0.0123 from dense") && text.contains("30.500"))
        account.report.after?.perplexity = .nan
        #expect(try html(account).contains("its perplexity is no number"))
    }

    @Test func severalRunsAreTold() throws {
        let one = account("a/w4", linears: [linear("m.0.q", error: 0.1), linear("m.1.q", error: 0.2)])
        let other = account("b/w4", linears: [linear("m.0.q", error: 0.3, bits: 3)])
        let text = try html(one, other)
        #expect(text.contains("a/w4") && text.contains("b/w4") && text.contains("Runs beside each other"))
        #expect(text.contains("<title>a/w4: m.0.q: 0.1</title>") && text.contains("<title>b/w4: m.0.q: 0.3</title>"))
        #expect(text.contains("class=\"dot s1\"") && text.contains("b3") && text.contains("mean time of a rank by phase: forward, solve"))
    }

    /// A model of 61 blocks and 256 experts: the page stays of a size that browsers like.
    @Test func aLargeMixture() throws {
        var linears: [LinearReport] = []
        for block in 0..<61 { for expert in 0..<256 { linears.append(linear("model.layers.\(block).mlp.experts.\(expert).down_proj", error: 0.1)) } }
        var account = account(linears: linears)
        account.report.mixtures = (0..<61).map { block in
            MixtureReport(
                block: "model.layers.\(block)", routed: (0..<256).map { $0 * 7 % 256 + 64 }, summed: Array(repeating: 400, count: 256), minimum: 64,
                balance: 1.1)
        }
        account.report.ranks = (0..<1024).map { rank in
            RankReport(rank: rank, host: "h", seconds: [.solve: Double(rank + 1)], operations: [:], bytesSent: 0, bytesRead: 0, peakMemoryBytes: rank)
        }
        let text = try html(account)
        #expect(text.utf8.count < 3_000_000, "\(text.utf8.count)")
        #expect(text.contains("of 1\u{202f}024 ranks the 32 with the least and the 32 with the most") && text.contains("2 experts in a cell"))
        #expect(text.contains("256 linears: 0.1 to 0.1"))
    }

    @Test(arguments: [
        ("model.layers.7.mlp.experts.3.down_proj", 7, "mlp.experts.*.down_proj"), ("lm_head", nil, "lm_head"), ("a.5", nil, "a.5"), ("", nil, ""),
        ("transformer.h.0.attn.c_attn", 0, "attn.c_attn"), ("x..1.y", 1, "y"), ("a.99999999999999999999.b", nil, "a.99999999999999999999.b"),
    ])
    func places(name: String, depth: Int?, kind: String) {
        let place = LinearPlace(name)
        #expect(place.depth == depth && place.kind == kind)
    }

    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (-1_234_567, "-1\u{202f}234\u{202f}567")])
    func groups(value: Int, text: String) {
        #expect(grouped(value) == text)
    }
}
