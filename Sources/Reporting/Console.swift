// Text to the two streams of a terminal.

internal import Glibc

/// Unbuffered writing to standard output and standard error.
public enum Console {
    public static func output(_ text: String) { write(text, to: STDOUT_FILENO) }

    public static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }  // a closed stream: nobody listens
            bytes = bytes.dropFirst(count)
        }
    }
}
