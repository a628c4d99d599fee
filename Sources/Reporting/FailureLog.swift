// How a process writes down that it fails, whatever ends it: in the log of its run, and where a program follows that.

internal import Glibc
internal import Synchronization

/// Writes one error, the first that is said, as the last events of a process.
///
/// Memory may be what has run out, and a signal's handler may be what speaks: `say` takes no memory and calls no more than the system.
public enum FailureLog {
    /// What `say` needs, made before it is needed.
    private struct Prepared {
        /// Paths, as the system takes them: the run's log, and what a program follows.
        var log: UnsafeMutablePointer<CChar>?
        var events: UnsafeMutablePointer<CChar>?
        /// The line by which an attempt begins, for as long as the log has none.
        var beginning: UnsafeMutableBufferPointer<UInt8>?
        /// Nanoseconds of the monotonic clock.
        var began = nanoseconds(CLOCK_MONOTONIC)
        var text = EventText(capacity: 1 << 16)
    }

    nonisolated(unsafe) private static var prepared = Prepared()
    private static let isTold = Atomic(false)

    /// Says where a program follows the run, a file or a pipe; nil where none does. A handler may speak from then on.
    public static func follow(_ path: String?) {
        prepared.events = path.flatMap { strdup($0) }
    }

    /// Says that a directory is this run's from now on.
    ///
    /// - Parameters:
    ///   - path: of its log.
    ///   - beginning: the event that goes before an error where the attempt has not begun by then.
    public static func enter(_ path: String, _ beginning: RunEvent) {
        isTold.store(false, ordering: .relaxed)
        prepared.log = strdup(path)
        let line = (try? beginning.line()) ?? []
        let kept = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: line.count)
        _ = kept.initialize(from: line)
        prepared.beginning = kept
    }

    /// Says that the log has the beginning of the attempt.
    public static func begin() {
        prepared.beginning = nil
        prepared.began = nanoseconds(CLOCK_MONOTONIC)
    }

    /// Writes an error and the end of the attempt, unless an error is written already.
    public static func say(_ message: String, exitCode: Int32) {
        var message = message
        message.withUTF8 { say($0, exitCode: exitCode) }
    }

    /// The same for a signal's handler.
    public static func say(_ message: StaticString, exitCode: Int32) {
        say(UnsafeBufferPointer(start: message.utf8Start, count: message.utf8CodeUnitCount), exitCode: exitCode)
    }

    /// The same for a signal's handler.
    ///
    /// - Parameter message: UTF-8.
    public static func say(_ message: UnsafeBufferPointer<UInt8>, exitCode: Int32) {
        guard !isTold.exchange(true, ordering: .relaxed) else { return }
        prepared.text.clear()
        if let beginning = prepared.beginning { prepared.text.append(UnsafeBufferPointer(beginning)) }
        prepared.text.appendError(message, exitCode: exitCode)
        prepared.text.appendEnd(exitCode: exitCode, milliseconds: Int((nanoseconds(CLOCK_MONOTONIC) - prepared.began) / 1_000_000))
        write(to: prepared.log)
        write(to: prepared.events)
    }

    /// Appends the lines to a file that is there or can be made; where it cannot be written, nobody hears of it.
    private static func write(to path: UnsafeMutablePointer<CChar>?) {
        guard let path else { return }
        // A pipe without a reader is an error instead of a wait for one.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { return }
        prepared.text.write(to: descriptor, afterANewLine: endsInsideALine(path))
        close(descriptor)
    }

    /// Whether a file's last line was cut off.
    private static func endsInsideALine(_ path: UnsafeMutablePointer<CChar>) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else { return false }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var last: UInt8 = 0
        return pread(descriptor, &last, 1, status.st_size - 1) == 1 && last != UInt8(ascii: "\n")
    }
}

/// The time of a clock.
private func nanoseconds(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Events as lines, in memory of a fixed size. Their keys and forms are those of `RunEvent.line`.
private struct EventText {
    private let bytes: UnsafeMutableBufferPointer<UInt8>
    private var count = 0

    init(capacity: Int) {
        bytes = .allocate(capacity: capacity)
        bytes.initialize(repeating: 0)
    }

    mutating func clear() { count = 0 }

    /// - Parameter message: UTF-8; of a longer one than there is room for the first part.
    mutating func appendError(_ message: UnsafeBufferPointer<UInt8>, exitCode: Int32) {
        append("{\"event\":\"error\",\"exitCode\":")
        append(Int(exitCode))
        append(",\"message\":\"")
        // The rest of both lines takes 200 bytes at most; a byte may become six.
        let room = (bytes.count - count - 200) / 6
        var end = min(message.count, room)
        while end > 0, end < message.count, message[end] & 0xC0 == 0x80 { end -= 1 }
        for place in 0..<end { appendEscaped(message[place]) }
        append("\",\"time\":\"")
        appendTime()
        append("\"}\n")
    }

    mutating func appendEnd(exitCode: Int32, milliseconds: Int) {
        append("{\"event\":\"run_end\",\"exitCode\":")
        append(Int(exitCode))
        append(",\"seconds\":")
        append(milliseconds / 1000)
        append(".")
        append(milliseconds % 1000, digits: 3)
        append(",\"time\":\"")
        appendTime()
        append("\"}\n")
    }

    /// Writes them at once, so that lines of other processes do not come between.
    func write(to descriptor: Int32, afterANewLine: Bool) {
        var newline = UInt8(ascii: "\n")
        if afterANewLine { _ = Glibc.write(descriptor, &newline, 1) }
        _ = Glibc.write(descriptor, bytes.baseAddress, count)
    }

    // MARK: - Parts of a line

    mutating func append(_ more: UnsafeBufferPointer<UInt8>) {
        guard more.count <= bytes.count - count else { return }
        for place in 0..<more.count { bytes[count + place] = more[place] }
        count += more.count
    }

    private mutating func append(_ byte: UInt8) {
        guard count < bytes.count else { return }
        bytes[count] = byte
        count += 1
    }

    private mutating func append(_ text: StaticString) {
        append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// - Parameter digits: at least so many.
    private mutating func append(_ number: Int, digits: Int = 1) {
        if number >= 10 || digits > 1 { append(number / 10, digits: digits - 1) }
        append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
    }

    private mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            append(UInt8(ascii: "\\"))
            append(byte)
        case UInt8(ascii: "\n"):
            append("\\n")
        case 0..<32:
            append("\\u00")
            append(UInt8(ascii: "0") + byte >> 4)
            append(byte & 15 < 10 ? UInt8(ascii: "0") + byte & 15 : UInt8(ascii: "a") + byte & 15 - 10)
        default: append(byte)
        }
    }

    /// Now, in UTC, to milliseconds. `gmtime_r` may wait for another thread that reads the time zone.
    private mutating func appendTime() {
        let now = nanoseconds(CLOCK_REALTIME) / 1_000_000
        let (seconds, milliseconds) = (Int(now / 1000), Int(now % 1000))
        let date = civilDate(days: seconds / 86400)
        append(date.year, digits: 4)
        append("-")
        append(date.month, digits: 2)
        append("-")
        append(date.day, digits: 2)
        append("T")
        append(seconds % 86400 / 3600, digits: 2)
        append(":")
        append(seconds % 3600 / 60, digits: 2)
        append(":")
        append(seconds % 60, digits: 2)
        append(".")
        append(milliseconds, digits: 3)
        append("Z")
    }
}

/// The date of a day of the Gregorian calendar.
///
/// - Parameter days: since 1970-01-01, from 0.
package func civilDate(days: Int) -> (year: Int, month: Int, day: Int) {
    // Years that begin in March have the day of leap years at their end.
    var (rest, year) = (days + 306, 1969)
    // 1969-03-01 is day -306. Of 400 years all have the same length.
    year += rest / 146_097 * 400
    rest %= 146_097
    func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
    while rest >= (isLeap(year + 1) ? 366 : 365) {
        rest -= isLeap(year + 1) ? 366 : 365
        year += 1
    }
    // From March on five months have 153 days, again and again.
    let month = (5 * rest + 2) / 153
    return (year + month / 10, (month + 2) % 12 + 1, rest - (153 * month + 2) / 5 + 1)
}
