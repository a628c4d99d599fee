// Who works in an output directory, for those who only look.

package import Foundation
internal import Glibc
internal import MessagePassing

extension RunLock {
    /// The run that holds a lock; nil when none does. The lock is not touched: a run that starts meanwhile does not meet it.
    ///
    /// On the owner's host its process must be there; everywhere the owner must have touched the file within a minute by this host's clock.
    package static func holder(_ path: String, now: Date = .now) -> Owner? {
        guard let data = FileManager.default.contents(atPath: path), let owner = try? JSONDecoder().decode(Owner.self, from: data) else { return nil }
        var status = stat()
        guard stat(path, &status) == 0, now.timeIntervalSince1970 - Double(status.st_mtim.tv_sec) < Double(deadSeconds) else { return nil }
        guard owner.host != Session.hostName || isAlive(owner.pid) else { return nil }
        return owner
    }

    /// Whether a process of this host is at work, and not only its entry in the table left, which nobody has taken away.
    private static func isAlive(_ pid: pid_t) -> Bool {
        // A process of another user may not be signalled, but is there.
        guard kill(pid, 0) == 0 || errno == EPERM else { return false }
        // `PID (NAME) STATE ...`, and a name may hold parentheses.
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else { return true }
        return !["Z", "X"].contains(text[text.index(after: end)...].prefix(2).last)
    }
}
