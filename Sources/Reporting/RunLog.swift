// The log of a run, written while it goes on: for `cleave status`, for pages of unfinished runs, and for programs that follow it.

internal import Foundation
internal import Glibc

/// Appends events to files, each as one line that is written at once.
///
/// A line may be lost with its machine; what was committed stands in the journals. A file that can no longer be written is named on standard error, once,
/// and gets no more: the run itself goes on.
public final class RunLog {
    private var files: [(path: String, descriptor: Int32)] = []
    private let began = ContinuousClock.now
    private var last = ContinuousClock.now

    /// Opens files, or makes them; what stands there stays.
    /// - Throws: `RunLogError` when one cannot be opened.
    public init(_ paths: [String]) throws {
        for path in paths {
            var status = stat()
            let isThere = stat(path, &status) == 0
            // A reader that goes away is no reason to end.
            if isThere, status.st_mode & S_IFMT == S_IFIFO { signal(SIGPIPE, SIG_IGN) }
            let isCutOff = isThere && Self.endsInsideALine(path, status)
            var descriptor: Int32
            // A pipe without a reader is an error instead of a wait for one.
            repeat { descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o666) } while descriptor < 0 && errno == EINTR
            guard descriptor >= 0 else { throw RunLogError(path: path, reason: String(cString: strerror(errno))) }
            files.append((path, descriptor))
            if isCutOff { write([UInt8(ascii: "\n")], to: files.count - 1) }
        }
    }

    deinit {
        for file in files { close(file.descriptor) }
    }

    /// - Parameter change: fills in what the event says.
    public func write(_ kind: RunEvent.Kind, _ change: (inout RunEvent) -> Void = { _ in }) {
        var event = RunEvent(kind)
        if kind == .stageEnd { event.seconds = last.duration(to: .now) / .seconds(1) }
        if kind == .runEnd { event.seconds = began.duration(to: .now) / .seconds(1) }
        if kind != .error { last = .now }
        change(&event)
        do {
            let line = try event.line()
            for index in files.indices.reversed() { write(line, to: index) }
        } catch {
            Console.error("note: an event could not be written as JSON: \(error)\n")
        }
    }

    private func write(_ bytes: [UInt8], to index: Int) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(files[index].descriptor, $0.baseAddress, $0.count) }
            if count < 0 && (errno == EINTR || errno == EAGAIN && canBeWritten(files[index].descriptor)) { continue }
            guard count > 0 else {
                let reason = errno == EAGAIN ? "nobody has read it for \(Self.patience) seconds" : String(cString: strerror(errno))
                let file = files.remove(at: index)
                close(file.descriptor)
                return Console.error("note: \(file.path) gets no more events: \(reason)\n")
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Seconds that a full pipe has until somebody reads from it.
    private static let patience: Int32 = 5

    private func canBeWritten(_ descriptor: Int32) -> Bool {
        var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        let found = poll(&state, 1, Self.patience * 1000)
        // For `poll` itself knows no reason to give up.
        errno = EAGAIN
        return found > 0
    }

    /// Whether a file's last line was cut off, as a run that was killed may leave it.
    private static func endsInsideALine(_ path: String, _ status: stat) -> Bool {
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size > 0, let file = FileHandle(forReadingAtPath: path) else {
            return false
        }
        defer { try? file.close() }
        guard (try? file.seek(toOffset: UInt64(status.st_size - 1))) != nil, let byte = try? file.read(upToCount: 1)?.first else { return false }
        return byte != UInt8(ascii: "\n")
    }
}

/// A file that is to have events and cannot be opened.
public struct RunLogError: Error, CustomStringConvertible {
    public let path: String
    public let reason: String

    public var description: String { "cannot write events to \(path): \(reason)" }
}
