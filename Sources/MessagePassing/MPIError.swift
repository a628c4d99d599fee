// A failed MPI call, in words.

internal import CMPI

/// A call that MPI refused or could not complete.
public struct MPIError: Error, CustomStringConvertible {
    /// The MPI function.
    public let function: String
    /// MPI's own text for its error code.
    public let reason: String

    public var description: String { "\(function) failed: \(reason)" }

    init(_ function: String, code: Int32) {
        self.function = function
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
        var length: Int32 = 0
        MPI_Error_string(code, &text, &length)
        reason = String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Throws when `code` is not MPI_SUCCESS.
func check(_ function: String, _ code: Int32) throws(MPIError) {
    guard code == MPI_SUCCESS else { throw MPIError(function, code: code) }
}
