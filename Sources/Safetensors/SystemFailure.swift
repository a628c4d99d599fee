// Turns errno into this room's error: which call on which file failed, why, and what to do.

import Glibc

enum SystemFailure {
    /// - Parameter action: the verb that failed, as in "Cannot open".
    static func reading(_ path: String, _ action: String, _ code: CInt) -> SafetensorsError {
        switch code {
        case ENOENT, ENOTDIR, ELOOP: SafetensorsError(.missing, path: path, missing(path))
        case EACCES, EPERM:
            SafetensorsError(
                .notPermitted, path: path, "The file may not be read by this user: \(text(code)). Change its permissions, or those of its directories.")
        case ENXIO, ENODEV: SafetensorsError(.malformed, path: path, "This is a socket or a device; a regular file is needed.")
        case ENOMEM: SafetensorsError(.noMemory, path: path, "Cannot \(action) the file: \(text(code)); `--weights pread` maps none.")
        default: SafetensorsError(.notReadable, path: path, "Cannot \(action) the file: \(text(code)).")
        }
    }

    private static func missing(_ path: String) -> String {
        guard let target = FilePath.linkTarget(path) else { return "The file does not exist." }
        return "This is a link to \(target), which does not exist. Fetch the file again."
    }

    static func writing(_ path: String, _ action: String, _ code: CInt) -> SafetensorsError {
        switch code {
        case ENOSPC:
            SafetensorsError(
                .diskFull, path: path,
                "Cannot \(action): the disk is full (\(text(code))). Free space there, or write to another disk.")
        case EDQUOT:
            SafetensorsError(
                .diskFull, path: path,
                "Cannot \(action): the quota is used up (\(text(code))). Free space, or write to another disk.")
        default:
            SafetensorsError(.notWritable, path: path, "Cannot \(action): \(text(code)).")
        }
    }

    private static func text(_ code: CInt) -> String {
        "\(String(cString: strerror(code))), errno \(code)"
    }
}

/// Repeats a system call for as long as a signal interrupts it.
package func retryingOnInterrupt<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
