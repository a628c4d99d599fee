// The time of a plan on a number of ranks.

extension Plan {
    /// The time of a run on a number of ranks like those of the profile.
    ///
    /// - Parameters:
    ///   - ranksOfHost: that share memory, at most; nil: as many as were measured.
    ///   - memory: what is kept in memory on that many ranks; nil: everything.
    /// - Returns: nil for several ranks when the profile says nothing of messages such as theirs.
    public func prediction(
        ranks: Int, ranksOfHost: Int? = nil, files: FileVolumes, on profile: MachineProfile, memory: MemoryPlan? = nil
    ) -> Prediction? {
        guard let messages = MessageModel(profile, ranks: ranks, ranksOfHost: ranksOfHost) else { return nil }
        let work = Workload(plan: self, ranks: ranks, tensorParallel: memory?.tensorParallel ?? 1, profile: profile, messages: messages)
        var prediction = Prediction(ranks: ranks)
        for group in stageGroups {
            work.add(group, memory?.stages[group.place.block][group.place.stage] ?? .whole, to: &prediction)
        }
        let disk = DiskModel(profile)
        prediction.read += (Double(files.sourceBytes) + bytesOfMeasuring) / disk.read(ranks: ranks)
        // A file of the result is written, and read again, by one rank.
        let writers = min(ranks, files.outputFiles)
        let output = Double(files.outputBytes)
        prediction.merge = output / disk.read(ranks: writers) + output / disk.write(ranks: writers)
        prediction.verify = output / disk.read(ranks: writers)
        return prediction
    }
}
