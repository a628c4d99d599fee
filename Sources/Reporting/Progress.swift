// Where a run stands: a bar on a terminal, a line per block elsewhere.

internal import Glibc

/// Progress over the tiles of a run, shown to people and told to the run's log; only the coordinator makes one.
public final class Progress {
    private let total: Int
    private let blocks: Int
    private let isTerminal: Bool
    private let log: RunLog?
    private let start = ContinuousClock.now
    private var done = 0
    /// Tiles that were found committed; they say nothing about the rate.
    private var reused = 0
    private var timeLeft: TimeLeft

    /// - Parameters:
    ///   - tiles: tiles of the whole run.
    ///   - blocks: blocks of the model.
    ///   - committed: tiles that are committed already.
    ///   - work: all that is to be done.
    ///   - log: hears of every stage.
    ///
    /// The environment's CLEAVE_PROGRESS, `bar` or `lines`, says what to show; without it a bar on a terminal.
    public init(tiles: Int, blocks: Int, committed: Int, work: [WorkKind: Double], log: RunLog?) {
        let style = getenv("CLEAVE_PROGRESS").map { String(cString: $0) }
        isTerminal = style.map { $0 == "bar" } ?? (isatty(STDERR_FILENO) == 1)
        total = tiles
        timeLeft = TimeLeft(work: work)
        self.blocks = blocks
        self.log = log
        log?.write(.phaseBegin) { ($0.phase, $0.reused) = (.compress, committed) }
    }

    /// A stage is about to be worked on.
    public func begin(block: Int, stage: String) {
        timeLeft.begin()
        log?.write(.stageBegin) { ($0.block, $0.stage) = (block, stage) }
        guard isTerminal else { return }
        redraw("block \(block + 1)/\(blocks)  \(stage)")
    }

    /// Some work is done, of which the last moment was spent. It is told before the tiles that it made.
    public func did(_ kind: WorkKind, work: Double) { timeLeft.did(kind, work: work) }

    /// Tiles of a stage are done.
    public func advance(block: Int, stage: String, solved: Int, reused: Int) {
        done += solved + reused
        self.reused += reused
        let left = timeLeft.seconds
        log?.write(.stageEnd) { ($0.block, $0.stage, $0.solved, $0.reused, $0.secondsLeft) = (block, stage, solved, reused, left) }
        guard isTerminal else { return }
        redraw("block \(block + 1)/\(blocks)  \(stage)")
    }

    /// What was solved of a block is committed.
    public func commit(block: Int) {
        log?.write(.commit) { $0.block = block }
    }

    /// A block is done.
    ///
    /// - Parameters:
    ///   - linears: its own; empty where the log has them already.
    ///   - mixture: of its experts.
    public func finish(block: Int, summary: String, linears: [LinearReport], mixture: MixtureReport?) {
        timeLeft.endBlock()
        let left = timeLeft.seconds
        log?.write(.blockEnd) { event in
            (event.block, event.secondsLeft) = (block, left)
            guard !linears.isEmpty else { return }
            (event.linears, event.mixture) = (linears, mixture)
        }
        guard !isTerminal else { return }
        Console.error("block \(block + 1)/\(blocks)  tiles \(done)/\(total)  \(summary)  \(pace())\n")
    }

    /// Says something about the run beside its progress.
    public func say(_ text: String) {
        clear()
        Console.error(text)
    }

    /// Takes the bar off the terminal.
    public func clear() {
        guard isTerminal else { return }
        Console.error("\r\u{1b}[K")
    }

    private func redraw(_ place: String) {
        let width = 28
        let filled = total == 0 ? width : done * width / total
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        Console.error("\r\u{1b}[K[\(bar)] \(place)  tiles \(done)/\(total)  \(pace())")
    }

    private func pace() -> String {
        let elapsed = start.duration(to: .now) / .seconds(1)
        let solved = done - reused
        guard solved > 0, elapsed > 0, let left = timeLeft.seconds else { return "\(formatSeconds(elapsed)) elapsed" }
        return "\(format(Double(solved) / elapsed, digits: 1)) tiles/s  \(formatSeconds(elapsed)) elapsed, \(formatSeconds(left)) left"
    }
}
