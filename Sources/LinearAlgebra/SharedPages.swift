// Memory in which several processes make the same numbers.

internal import Glibc
internal import Synchronization

/// Pages that some processes see, zeros at first.
public struct SharedPages: Sendable {
    private let memory: AlignedMemory
    private let byteCount: Int
    /// This process among them.
    public let place: (index: Int, count: Int)

    /// - Parameters:
    ///   - usedByteCount: what of the pages is ever written; nil: all.
    ///   - owner: holds the pages while anything in them is used.
    public init(_ base: UnsafeMutableRawPointer, byteCount: Int, usedByteCount: Int? = nil, place: (index: Int, count: Int), owner: any AnyObject & Sendable) {
        memory = AlignedMemory(base, usedByteCount: usedByteCount ?? byteCount, owner: owner)
        (self.byteCount, self.place) = (byteCount, place)
    }

    /// A matrix that begins at a byte.
    public func matrix<Element: BitwiseCopyable>(of: Element.Type = Element.self, from offset: Int = 0, _ rows: Int, _ columns: Int) -> Matrix<Element> {
        precondition(offset + rows * columns * MemoryLayout<Element>.stride <= byteCount, "[\(rows), \(columns)] from byte \(offset) of \(byteCount)")
        return Matrix(in: memory, from: offset, rows, columns)
    }

    /// Matrices one after the other, each from a page on: by their rows and columns.
    public func matrices<Element: BitwiseCopyable>(of: Element.Type = Element.self, _ shapes: [(rows: Int, columns: Int)]) -> [Matrix<Element>] {
        var offset = 0
        return shapes.map { shape in
            defer { offset += Self.byteCount(of: Element.self, [shape]) }
            return matrix(from: offset, shape.rows, shape.columns)
        }
    }

    /// Bytes that such matrices take.
    public static func byteCount<Element: BitwiseCopyable>(of: Element.Type, _ shapes: [(rows: Int, columns: Int)]) -> Int {
        shapes.reduce(0) { $0 + Pages.rounded($1.rows * $1.columns * MemoryLayout<Element>.stride) }
    }

    /// Locks that begin at a byte.
    func locks(from offset: Int, _ count: Int) -> [SharedLock] {
        precondition(offset + count * SharedLock.byteCount <= byteCount, "\(count) locks from byte \(offset) of \(byteCount)")
        return (0..<count).map { SharedLock(memory, at: offset + $0 * SharedLock.byteCount) }
    }
}

/// A lock in memory that several processes share; free where the memory is zero.
///
/// It is for what a processor does within a millisecond. A process that ends while it holds one leaves the others waiting, until the launcher ends them.
struct SharedLock: @unchecked Sendable {
    static let byteCount = MemoryLayout<Atomic<UInt32>>.stride
    private let memory: AlignedMemory
    private let state: UnsafeMutablePointer<Atomic<UInt32>>

    init(_ memory: AlignedMemory, at offset: Int) {
        self.memory = memory
        state = (memory.base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    func withLock(_ body: () -> Void) {
        // The holder may wait for this very core.
        while state.pointee.exchange(1, ordering: .acquiring) != 0 { sched_yield() }
        body()
        state.pointee.store(0, ordering: .releasing)
    }
}
