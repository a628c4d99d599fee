// How a run stands, from its output directory alone: without ranks, without its model, and while it goes on.

internal import Checkpoints
internal import Failures
public import Foundation
public import Reporting

/// Looks at an output directory: at the run's record, its log, its journals and its lock. Nothing is written.
///
/// - Parameters:
///   - now: for what is left to do, and for how old the lock is.
///   - isOver: whether the lock that is held is that of a run which has just come to its end.
/// - Throws: `PipelineError` (66) when no run of Cleave has worked there.
public func runStatus(of output: String, now: Date = .now, isOver: Bool = false) throws -> StatusReport {
    let main = WorkDirectory(output: output)
    let holder = isOver ? nil : RunLock.holder(main.lock, now: now)
    // Until losses are measured, the run that measures them is all there is.
    let isMeasuring = RunRecord.read(main) == nil && FileManager.default.fileExists(atPath: main.measuring.log)
    let work = isMeasuring ? main.measuring : main
    let record = RunRecord.read(work)
    let history = RunHistory(work)
    let manifest = FileManager.default.fileExists(atPath: output + "/config.json") ? try? Manifest.read(output) : nil
    guard record != nil || manifest?.planHash != nil || !history.attempts.isEmpty || holder != nil else {
        throw PipelineError(.missingInput, "\(output) holds no run of Cleave: \(main.record) is missing")
    }
    let last = history.attempts.last
    var status = StatusReport(state: state(last, isHeld: holder != nil, isFinished: manifest != nil), output: output)
    status.holder = holder?.words
    status.model = last?.report.model
    status.planHash = last?.report.planHash ?? record?.plan.hash ?? manifest?.planHash
    status.cleave = last?.report.cleave ?? manifest?.cleave
    status.attempts = history.attempts.count
    (status.ranks, status.hosts) = (last?.report.ranks, last?.report.hosts ?? [:])
    (status.began, status.lastEvent, status.lastCommit) = (last?.began, last?.lastEvent, history.attempts.compactMap(\.lastCommit).last)
    (status.lastError, status.exitCode) = (last?.error, last?.exitCode)
    status.part = isMeasuring ? .losses : last?.part
    guard let record, let size = record.work else { return status }
    let progress = Journal.progress(work, record.identity, tiles: size.tiles)
    if let committed = progress.lastCommit { status.lastCommit = max(status.lastCommit ?? committed, committed) }
    status.count(size, progress.tiles, isWhole: manifest != nil)
    // What had been committed was lost since.
    if status.state == .committed, let tiles = status.tiles, tiles.done < tiles.total { status.state = .interrupted }
    if status.state == .running, let last { status.estimate(last, now: now) }
    if status.state != .finished, let block = last?.block, let stage = last?.stage, status.part == .compress || status.part == .losses {
        status.place = StatusReport.Place(block: block + 1, blocks: size.tiles.count, stage: stage)
    }
    return status
}

private func state(_ last: RunHistory.Attempt?, isHeld: Bool, isFinished: Bool) -> StatusReport.State {
    if isHeld { return .running }
    if isFinished { return .finished }
    switch last?.exitCode {
    case 0: return .committed
    case PipelineError.Kind.stopped.rawValue: return .stopped
    case .some: return .failed
    case nil: return .interrupted
    }
}

extension StatusReport {
    /// Counts what is committed.
    ///
    /// - Parameter isWhole: a finished result may have no journals any more.
    fileprivate mutating func count(_ size: RunWork, _ committed: Set<TileKey>, isWhole: Bool) {
        var byStage: [[Int]] = size.tiles.map { $0.map { isWhole ? $0 : 0 } }
        if !isWhole {
            for key in committed where byStage.indices.contains(key.block) && byStage[key.block].indices.contains(key.stage) {
                byStage[key.block][key.stage] += 1
            }
        }
        var (tiles, stages, linears) = (Count(done: 0, total: 0), Count(done: 0, total: 0), Count(done: 0, total: 0))
        for (block, sizes) in size.tiles.enumerated() {
            // A stage without tiles keeps its weights.
            for (stage, total) in sizes.enumerated() where total > 0 {
                let done = byStage[block][stage]
                tiles = Count(done: tiles.done + done, total: tiles.total + total)
                let isDone = done >= total ? 1 : 0
                stages = Count(done: stages.done + isDone, total: stages.total + 1)
                linears = Count(done: linears.done + isDone * size.linears[block][stage], total: linears.total + size.linears[block][stage])
            }
        }
        (self.tiles, self.stages, self.linears) = (tiles, stages, linears)
    }

    /// Rate and time left of an attempt that is at work.
    fileprivate mutating func estimate(_ attempt: RunHistory.Attempt, now: Date) {
        guard let tiles else { return }
        uncommittedTiles = max(attempt.committedBefore + attempt.solved - tiles.done, 0)
        guard attempt.part == .compress, attempt.solved > 0, let began = attempt.compressBegan, let until = attempt.lastSolved else { return }
        let seconds = until.timeIntervalSince(began)
        guard seconds > 0 else { return }
        tilesPerSecond = Double(attempt.solved) / seconds
        secondsLeft = attempt.left.map { max($0.seconds - max(now.timeIntervalSince($0.time), 0), 0) }
    }
}
