// Where JSON text breaks a rule, and which.

/// A fault in JSON text.
package struct JSONError: Error, Equatable {
    /// Bytes from the start of the text.
    package let offset: Int
    package let reason: String

    package init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    /// The line of the fault, counted from 1.
    package func line(in text: [UInt8]) -> Int {
        text.prefix(offset).count { $0 == UInt8(ascii: "\n") } + 1
    }
}
