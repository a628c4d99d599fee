// Asking a run to stop in good order: a signal, a time limit, or a file; whatever comes first.

internal import Failures
internal import Glibc
public import MessagePassing
internal import Reporting
internal import Synchronization

/// Set by the handler of SIGUSR1, which may do no more than that.
private let signalArrived = Atomic<Bool>(false)

/// Why a run should stop at the next stage.
///
/// A stop is noticed when a stage is done: its tiles are committed, and the run ends with exit code 75.
public final class StopConditions {
    private let world: Communicator
    private let start: ContinuousClock.Instant
    private let limit: Double?
    private let file: String
    /// When the stage before was done.
    private var lastCheck: ContinuousClock.Instant
    /// Seconds of the longest stage so far.
    private var longest = 0.0

    /// - Parameters:
    ///   - start: when the run began.
    ///   - maxHours: the time that the run has; nil: as much as it takes.
    ///   - file: a path at which a file asks to stop.
    public init(world: Communicator, start: ContinuousClock.Instant, maxHours: Double?, file: String) {
        self.world = world
        self.start = start
        self.file = file
        limit = maxHours.map { $0 * 3600 }
        lastCheck = .now
    }

    /// From here on SIGUSR1 asks to stop instead of ending the process.
    public static func listen() {
        // The first access of a global may allocate, which a handler must not.
        signalArrived.store(false, ordering: .relaxed)
        signal(SIGUSR1) { _ in signalArrived.store(true, ordering: .relaxed) }
    }

    /// The first stage begins.
    func begin() {
        lastCheck = .now
    }

    /// Ends the run in good order when a stop is asked for; for places where nothing needs to be committed.
    /// - Throws: an `AgreedFailure` with exit code 75.
    package func check(after place: String) throws {
        if let reason = try reason() { throw failure(reason, after: place, committed: "") }
    }

    func failure(_ reason: String, after place: String, committed: String) -> AgreedFailure {
        AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
            description: "stopped in good order after \(place): \(reason)\(committed). Run the same command again to go on")
    }

    /// Whether to stop now; the same answer on every rank, since ranks see signals and clocks at different times.
    ///
    /// The time limit counts the longest stage so far as time that the next one will need.
    func reason() throws -> String? {
        longest = max(longest, lastCheck.duration(to: .now) / .seconds(1))
        lastCheck = .now
        var found = [Int32(0)]
        if signalArrived.load(ordering: .relaxed) { found[0] = 3 }
        if world.isCoordinator, found[0] == 0 {
            if access(file, F_OK) == 0 {
                found[0] = 2
            } else if let limit, start.duration(to: .now) / .seconds(1) + longest >= limit {
                found[0] = 1
            }
        }
        try world.allReduceMax(&found)
        switch found[0] {
        case 1: return "the time limit of \(formatSeconds(limit ?? 0)) leaves no time for another stage"
        case 2: return "\(file) asks for it"
        case 3: return "signal SIGUSR1 came"
        default: return nil
        }
    }
}
