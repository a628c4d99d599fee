// The address space of this process, where the system limits it.

internal import CAddressSpace

/// What this process may map in all (ulimit -v). The room that libraries need as they are loaded is looked at before they are, in `CAddressSpace`.
public enum AddressSpace {
    /// What one more thread takes at most: its stack, a heap of its own, and a buffer of OpenBLAS.
    public static let bytesOfThread = (128 + 64 + 8) << 20
    /// Whether crashes are looked at because of a limit: they may be what a library makes of memory that it was refused.
    ///
    /// - Parameter tell: gets what is known of one, as UTF-8, and an exit code; it may call no more than the system.
    public static func explainsCrashes(_ tell: @escaping @convention(c) (UnsafePointer<UInt8>?, Int, Int32) -> Void) -> Bool {
        cleave_address_space_on_crash(tell)
        return cleave_address_space_limit() != .max
    }

    /// What a run takes beside threads, matrices and files.
    private static let reserve = 64 << 20

    /// Refuses what will not fit, before it is begun: libraries cannot be asked to end well when they are refused memory.
    ///
    /// - Parameter parts: what is going to be mapped, in words and bytes.
    public static func require(_ parts: [(what: String, bytes: Int)]) throws(AddressSpaceShortage) {
        let limit = cleave_address_space_limit()
        guard limit != .max else { return }
        let used = Int(clamping: cleave_address_space_used())
        let needed = parts.reduce(used + reserve) { $0 + $1.bytes }
        if needed > Int(clamping: limit) { throw AddressSpaceShortage(limit: Int(clamping: limit), used: used, needed: needed, parts: parts) }
    }
}

/// An address space that is too small for what is to be done.
public struct AddressSpaceShortage: Error, CustomStringConvertible {
    public let limit: Int
    public let used: Int
    public let needed: Int
    public let parts: [(what: String, bytes: Int)]

    public var description: String {
        func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
        let list = parts.filter { $0.bytes > 0 }.map { "\(mebibytes($0.bytes)) for \($0.what)" }.joined(separator: ", ")
        return "the address space of a process is limited to \(mebibytes(limit)) (ulimit -v), and \(mebibytes(needed)) are needed: \(mebibytes(used)) are in "
            + "use, \(list); raise the limit, or take fewer threads or more ranks"
    }
}
