// One run at a time in an output directory: a lock that names its owner, and that a dead owner cannot keep.

internal import Dispatch
internal import Failures
internal import Foundation
internal import Glibc
internal import MessagePassing
internal import Safetensors

/// The lock on an output directory, held by the coordinator of the run that works there.
///
/// The kernel's lock on the file (flock) ends with its process, also after SIGKILL. Some file systems keep such locks to each host, so the owner
/// also touches the file every few seconds: a lock of another host is dead when it has not been touched for a minute.
package final class RunLock {
    package struct Owner: Codable, Equatable {
        var host: String
        var pid: Int32
        /// Of the scheduler or launcher; the same for all attempts of one job.
        var job: String?

        package static func current() -> Owner {
            let environment = ProcessInfo.processInfo.environment
            return Owner(host: Session.hostName, pid: getpid(), job: environment["CLEAVE_JOB_ID"] ?? environment["SLURM_JOB_ID"])
        }

        package var words: String { "host \(host), pid \(pid)\(job.map { ", job \($0)" } ?? "")" }
    }

    /// Seconds between two touches, and those after which a lock of another host is dead.
    static let (touchSeconds, deadSeconds) = (10, 60)

    /// What was found of a run that ended without giving its lock back, in words.
    package let stale: String?
    private let path: String
    private let timer: any DispatchSourceTimer

    /// - Throws: `PipelineError` (73) when another run holds the lock.
    package init(path: String, owner: Owner = .current()) throws {
        self.path = path
        let descriptor = retryingOnInterrupt { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666) }
        guard descriptor >= 0 else {
            throw PipelineError(.cannotWrite, "cannot make the lock \(path): \(String(cString: strerror(errno)))")
        }
        do {
            stale = try Self.claim(descriptor, path, owner)
        } catch {
            close(descriptor)
            throw error
        }
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + .seconds(Self.touchSeconds), repeating: .seconds(Self.touchSeconds))
        timer.setEventHandler { futimens(descriptor, nil) }
        // Closed by the queue that touches it, so that no other file can have its number then.
        timer.setCancelHandler { close(descriptor) }
        timer.resume()
    }

    /// Gives the lock back.
    deinit {
        unlink(path)
        timer.cancel()
    }

    /// Takes the lock, or says who has it.
    /// - Returns: what was found of a dead owner.
    private static func claim(_ descriptor: CInt, _ path: String, _ owner: Owner) throws -> String? {
        let isLocked = retryingOnInterrupt { flock(descriptor, LOCK_EX | LOCK_NB) } == 0
        let isHeld = !isLocked && errno == EWOULDBLOCK
        let found = read(descriptor)
        guard !isHeld else { throw inUse(path, found?.words ?? "an unknown process") }
        if let found, found.host != owner.host || !isLocked, found.job == nil || found.job != owner.job {
            let age = try age(descriptor, path)
            guard age >= deadSeconds else {
                throw inUse(path, "\(found.words), touched \(age) s ago (it counts as dead after \(deadSeconds) s without a sign of life)")
            }
        }
        // The name may have been removed between opening and locking: then the lock is on a file that nobody else will see.
        var (own, named) = (stat(), stat())
        guard fstat(descriptor, &own) == 0, stat(path, &named) == 0, own.st_ino == named.st_ino else {
            throw inUse(path, "a run that has just ended; run again")
        }
        let text = try JSONEncoder().encode(owner)
        let written = text.withUnsafeBytes { bytes in
            ftruncate(descriptor, 0) == 0 && pwrite(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count
        }
        guard written else { throw PipelineError(.cannotWrite, "cannot write the lock \(path): \(String(cString: strerror(errno)))") }
        return found.map { "an earlier run (\($0.words)) ended without giving back its lock; taken over" }
    }

    private static func inUse(_ path: String, _ owner: String) -> PipelineError {
        PipelineError(
            .cannotWrite, "another run is working in \((path as NSString).deletingLastPathComponent): \(owner). Wait for it, or give another output directory")
    }

    private static func read(_ descriptor: CInt) -> Owner? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return count > 0 ? try? JSONDecoder().decode(Owner.self, from: Data(bytes[..<count])) : nil
    }

    /// Seconds since the owner's last touch, by the file system's own clock.
    private static func age(_ descriptor: CInt, _ path: String) throws -> Int {
        let probe = path + ".clock-\(getpid())"
        defer { unlink(probe) }
        var (now, touched) = (stat(), stat())
        let made = open(probe, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard made >= 0 else { throw PipelineError(.cannotWrite, "cannot write beside the lock \(path): \(String(cString: strerror(errno)))") }
        defer { close(made) }
        guard fstat(made, &now) == 0, fstat(descriptor, &touched) == 0 else {
            throw PipelineError(.ioError, "cannot examine the lock \(path): \(String(cString: strerror(errno)))")
        }
        return now.st_mtim.tv_sec - touched.st_mtim.tv_sec
    }
}
