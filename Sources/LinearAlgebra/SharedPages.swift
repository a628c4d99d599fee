// Memory in which several processes make the same numbers.

internal import Glibc
internal import Synchronization

/// Pages that some processes see, zeros at first.
public struct SharedPages: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    /// This process among them.
    public let place: (index: Int, count: Int)
    private let owner: AnyObject

    /// - Parameter owner: holds the pages while anything in them is used.
    public init(_ base: UnsafeMutableRawPointer, byteCount: Int, place: (index: Int, count: Int), owner: AnyObject) {
        (self.base, self.byteCount, self.place, self.owner) = (base, byteCount, place, owner)
    }

    /// Matrices one after the other, each from a page on: by their rows and columns.
    func matrices<Element: BitwiseCopyable>(_ shapes: [(rows: Int, columns: Int)]) -> [Matrix<Element>] {
        let memory = AlignedMemory(self)
        var offset = 0
        return shapes.map { shape in
            defer { offset += Self.byteCount(of: Element.self, shape.rows, shape.columns) }
            precondition(offset + shape.rows * shape.columns * MemoryLayout<Element>.stride <= byteCount, "\(shapes) in \(byteCount) bytes")
            return Matrix(in: memory, from: offset, shape.rows, shape.columns)
        }
    }

    /// Bytes that such a matrix takes.
    static func byteCount<Element: BitwiseCopyable>(of: Element.Type, _ rows: Int, _ columns: Int) -> Int {
        Pages.rounded(rows * columns * MemoryLayout<Element>.stride)
    }

    /// Locks that begin at a byte.
    func locks(from offset: Int, _ count: Int) -> [SharedLock] {
        precondition(offset + count * SharedLock.byteCount <= byteCount, "\(count) locks from byte \(offset) of \(byteCount)")
        return (0..<count).map { SharedLock(base + offset + $0 * SharedLock.byteCount) }
    }
}

/// A lock in memory that several processes share; free where the memory is zero.
///
/// It is for what a processor does within a millisecond. A process that ends while it holds one leaves the others waiting, until the launcher ends them.
struct SharedLock: @unchecked Sendable {
    static let byteCount = MemoryLayout<Atomic<UInt32>>.stride
    private let state: UnsafeMutablePointer<Atomic<UInt32>>

    init(_ address: UnsafeMutableRawPointer) { state = address.assumingMemoryBound(to: Atomic<UInt32>.self) }

    func withLock(_ body: () -> Void) {
        // The holder may wait for this very core.
        while state.pointee.exchange(1, ordering: .acquiring) != 0 { sched_yield() }
        body()
        state.pointee.store(0, ordering: .releasing)
    }
}
