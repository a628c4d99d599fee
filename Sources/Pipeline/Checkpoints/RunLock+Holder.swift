// Who works in an output directory, for those who only look.

internal import Foundation
internal import Glibc
internal import MessagePassing

extension RunLock {
    /// The run that holds a lock; nil when none does. The lock is not touched: a run that starts meanwhile does not meet it.
    ///
    /// On the owner's host its process must be there; everywhere the owner must have touched the file within a minute by this host's clock.
    static func holder(_ path: String, now: Date = .now) -> Owner? {
        guard let data = FileManager.default.contents(atPath: path), let owner = try? JSONDecoder().decode(Owner.self, from: data) else { return nil }
        var status = stat()
        guard stat(path, &status) == 0, now.timeIntervalSince1970 - Double(status.st_mtim.tv_sec) < Double(deadSeconds) else { return nil }
        // A process of another user may not be signalled, but is there.
        guard owner.host != Session.hostName || kill(owner.pid, 0) == 0 || errno == EPERM else { return nil }
        return owner
    }
}
