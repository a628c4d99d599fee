// Entering an output directory: what stands there, whether this run may go on with it, and keeping others out.

internal import Checkpoints
internal import Failures
internal import Foundation
internal import Glibc
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Recipes
internal import Reporting
internal import Safetensors

extension Job {
    /// What stands in the output directory.
    public enum Standing: String, Codable, Sendable {
        case empty, unfinished, finished
    }

    /// Looks at the output directory and, unless it is finished, locks it, makes the work directory in it, and checks that what is committed there
    /// was made by the same plan from the same source.
    ///
    /// - Returns: what stood there, and remarks for the user.
    /// - Throws: 73 when another run works there or the directory holds something else; 65 when plan or source have changed, saying what.
    public func enter() throws -> (standing: Standing, remarks: [String]) {
        var record: RunRecord?
        var remarks: [String] = []
        let standing = try world.fromCoordinator(exitCode: exitCode) {
            var standing = try examine()
            if standing != .finished {
                try work.create()
                let lock = try RunLock(path: work.lock)
                self.lock = lock
                if let stale = lock.stale { remarks.append(stale) }
                // It was meant for the run before.
                unlink(work.stopFile)
                // What stood there may have changed before the lock was ours.
                standing = try examine()
            }
            record = RunRecord.read(work)
            guard standing != .finished || !needsLosses else {
                throw PipelineError(
                    .cannotWrite,
                    "\(recipe.output) holds a finished checkpoint, and \(work.losses) is not the table of losses of this recipe; give another output "
                        + "directory, or remove that one")
            }
            return standing
        }
        let names = try world.gather(Array(Session.hostName.utf8))
        hosts = try world.fromCoordinator(exitCode: exitCode) { names.reduce(into: [:]) { $0[String(decoding: $1, as: UTF8.self), default: 0] += 1 } }
        // What it is to do is not known yet, so there is nothing to compare.
        guard !needsLosses else {
            FailureLog.enter(work.log, beginning)
            return (standing, remarks)
        }
        // The run that measured losses has looked at them as well.
        let known = record?.source ?? RunRecord.read(work.measuring)?.source
        let files = try clock.measure(.read) { () throws in try SourceFiles(model, known: known, world: world) }
        sourceFiles = files
        try checkSourceOfLosses()
        let platforms = try world.gather(Array(Platform.description.utf8)).map { String(decoding: $0, as: UTF8.self) }
        let said = remarks
        remarks = try world.fromCoordinator(exitCode: exitCode) {
            if standing == .finished {
                try checkFinished(files)
                return said
            }
            let all = Set(platforms + (record?.platforms ?? [])).sorted()
            return try said + checkUnfinished(RunRecord(plan: identity, source: files, platforms: all, work: RunWork(plan)), earlier: record)
        }
        // A command that was refused leaves the log to the run that stands there.
        if standing != .finished { FailureLog.enter(work.log, beginning) }
        return (standing, remarks)
    }

    /// The event by which an attempt begins that fails before it has.
    private var beginning: RunEvent {
        var event = RunEvent(.runBegin)
        event.attempt = attempt()
        return event
    }

    private func examine() throws -> Standing {
        let exists = FileManager.default.fileExists(atPath:)
        guard exists(recipe.output + "/config.json") else {
            try work.refuseForeignFiles()
            return exists(work.recipe) ? .unfinished : .empty
        }
        guard exists(work.manifest) || exists(work.recipe) else {
            throw PipelineError(.cannotWrite, "\(recipe.output) holds a checkpoint that Cleave did not write; give another output directory")
        }
        do {
            _ = try Manifest.read(recipe.output)
            return .finished
        } catch let error as PipelineError {
            // What was merged can be merged again for as long as its tiles are there.
            if exists(work.journals) {
                try work.refuseForeignFiles()
                return .unfinished
            }
            throw PipelineError(error.kind, "\(error)\nThe checkpoint cannot be verified without it; remove \(recipe.output)/config.json to make it anew")
        }
    }

    private func checkFinished(_ files: SourceFiles) throws {
        let manifest = try Manifest.read(recipe.output)
        guard manifest.planHash == planHash else {
            throw PipelineError(
                .cannotWrite,
                "\(recipe.output) holds the finished checkpoint of another plan (\(manifest.planHash ?? "none"), this one is \(planHash))\(differences(files)); "
                    + "give another output directory, or remove that one")
        }
        guard manifest.source == files.entries else {
            throw PipelineError(
                .cannotWrite,
                "\(recipe.output) holds the finished checkpoint of a source that has changed since\(differences(files)); "
                    + "give another output directory, or remove that one")
        }
    }

    /// Refuses committed tiles of another plan or source; else keeps the record of this one.
    private func checkUnfinished(_ record: RunRecord, earlier: RunRecord?) throws -> [String] {
        if let committed = try Journal.anyEntry(work), committed.identity != record.identity {
            throw PipelineError(
                .badInput,
                "\(work.output) holds an unfinished run of another plan or source\(differences(record.source)). "
                    + "Undo the change, give another output directory, or remove \(work.path) to start anew")
        }
        var remarks: [String] = []
        if earlier == nil, FileManager.default.fileExists(atPath: work.record) { remarks.append("\(work.record) was damaged; written anew") }
        if record.platforms.count > 1 {
            remarks.append(
                "processors or libraries of more than one kind are at work in this run; the result is sound, but its bytes are those of no other run:\n  "
                    + record.platforms.joined(separator: "\n  "))
        }
        // Times may have changed where the content has not.
        let isKnown =
            earlier?.plan == record.plan && earlier?.source == record.source && earlier?.platforms == record.platforms && earlier?.work == record.work
        if !isKnown { try record.save(work) }
        try source.save(work)
        return remarks
    }

    /// What has changed since the directory was begun, as far as its record tells.
    private func differences(_ files: SourceFiles) -> String {
        guard let earlier = RunRecord.read(work) else { return " (what has changed cannot be told, since \(work.record) is missing or damaged)" }
        let lines = identity.differences(from: earlier.plan) + files.differences(from: earlier.source)
        return lines.isEmpty ? "" : ":\n  " + lines.prefix(20).joined(separator: "\n  ") + (lines.count > 20 ? "\n  and \(lines.count - 20) more" : "")
    }
}
