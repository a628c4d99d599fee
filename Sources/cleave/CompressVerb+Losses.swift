// Measuring what a budget is spent by, before it is known what `cleave compress` is to do.

import LinearAlgebra
import MessagePassing
import Reporting
import Runs

extension CompressVerb {
    /// Measures the losses that a job needs; its output directory is locked meanwhile.
    ///
    /// - Parameters:
    ///   - job: has been entered.
    ///   - remarks: that are to be said.
    /// - Returns: the bound that was kept, and what this rank held before the work began.
    func measureLosses(for job: Job, remarks: [String], start: ContinuousClock.Instant, _ world: Communicator) throws -> (memory: MemoryReport, held: Int) {
        let measuring = try job.measuringLosses()
        let again = try measuring.enter()
        let plan = measuring.plan
        say(
            world,
            """
            cleave \(cleaveVersion)  measuring losses, plan \(measuring.planHash)
            model        \(job.recipe.model) (\(plan.architecture.family), \(plan.blocks.count) blocks)
            losses       \(lossesText(plan))
            table        \(job.work.output)/cleave/losses.json

            """)
        for remark in measuring.remarks + remarks + again.remarks + measuring.calibrationRemarks { say(world, "note: \(remark)\n") }
        let held = Job.bytesHeld()
        let memory = try memory.plan(measuring, world, threads: threads(world), activations: activations, windows: nil, held: held)
        say(world, memory.text + "\n")
        MemoryPool.keepMatrices(upTo: memory.plan.matrices)
        let stop = StopConditions(world: world, start: start, maxHours: maxHours, file: job.work.stopFile)
        try withPage(of: job.work, goesOn: true, world) {
            try measuring.logged(memory: memory.report, events: events) {
                try measuring.measureLosses(for: job, stop: stop, memory: memory.plan, scratch: scratch ?? job.work.path) { resumption in
                    if let resumption { say(world, resumption + "\n") }
                }
            }
        }
        // The run that follows begins with what this one began with.
        MemoryPool.giveBackMatrices()
        return (memory.report, held)
    }
}

extension MemoryReport {
    /// The report of a process that measured losses before.
    func after(_ measuring: MemoryReport?) -> MemoryReport {
        guard let measuring else { return self }
        var report = self
        report.boundBytes = max(boundBytes, measuring.boundBytes)
        report.phases["losses"] = measuring.boundBytes
        return report
    }
}
