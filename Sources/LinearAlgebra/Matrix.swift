// A row-major matrix over memory that it shares with its windows.

/// A matrix [rows, columns] in row-major order.
///
/// A matrix is a reference: copies and windows (`rows(_:)`, `columns(_:)`) see the same elements, and the memory lives as long as any of them.
/// Writing the same element from two threads is the caller's error.
public struct Matrix<Element: BitwiseCopyable>: @unchecked Sendable {
    private let memory: AlignedMemory
    /// The first element; row `i` begins at `base + i * stride`.
    public let base: UnsafeMutablePointer<Element>
    public let rows: Int
    public let columns: Int
    /// Elements from the beginning of one row to that of the next.
    public let stride: Int

    private init(memory: AlignedMemory, base: UnsafeMutablePointer<Element>, rows: Int, columns: Int, stride: Int) {
        self.memory = memory
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// A matrix whose elements are not yet initialised.
    public init(uninitialized rows: Int, _ columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a matrix of \(rows) x \(columns)")
        memory = AlignedMemory(byteCount: rows * columns * MemoryLayout<Element>.stride)
        base = memory.base.bindMemory(to: Element.self, capacity: rows * columns)
        self.rows = rows
        self.columns = columns
        stride = columns
    }

    /// The same in whole pages however small it is, for what outlives the work around it: between short-lived neighbours on the heap it would keep what is
    /// free there from its next use.
    public init(uninitializedPages rows: Int, _ columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a matrix of \(rows) x \(columns)")
        self.init(in: AlignedMemory(byteCount: rows * columns * MemoryLayout<Element>.stride, leastPiece: 1), rows, columns)
    }

    /// A matrix in memory that is there already, at least as much as it needs from some byte on.
    init(in memory: AlignedMemory, from offset: Int = 0, _ rows: Int, _ columns: Int) {
        let base = (memory.base + offset).bindMemory(to: Element.self, capacity: rows * columns)
        self.init(memory: memory, base: base, rows: rows, columns: columns, stride: columns)
    }

    /// A matrix of zeros (of bytes that are zero).
    public init(zeros rows: Int, _ columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a matrix of \(rows) x \(columns)")
        memory = AlignedMemory(zeroedByteCount: rows * columns * MemoryLayout<Element>.stride)
        base = memory.base.bindMemory(to: Element.self, capacity: rows * columns)
        self.rows = rows
        self.columns = columns
        stride = columns
    }

    /// A square matrix of which only elements on and above the diagonal may be written: those below are zeros, the others not yet initialised. A large one
    /// takes memory only where it is written.
    public init(uninitializedUpperTriangle order: Int) {
        let shape = MemoryPool.TriangleShape(order: order, elementByteCount: MemoryLayout<Element>.stride)
        if shape.byteCount >= MemoryPool.leastTriangle {
            self.init(in: AlignedMemory(shape), order, order)
        } else {
            self.init(zeros: order, order)
        }
    }

    public init(repeating value: Element, _ rows: Int, _ columns: Int) {
        self.init(uninitialized: rows, columns)
        base.initialize(repeating: value, count: rows * columns)
    }

    /// - Parameter elements: row-major, `rows * columns` of them.
    public init(_ elements: [Element], _ rows: Int, _ columns: Int) {
        precondition(elements.count == rows * columns, "\(elements.count) elements for \(rows) x \(columns)")
        self.init(uninitialized: rows, columns)
        elements.withUnsafeBufferPointer { source in
            if let first = source.baseAddress { base.initialize(from: first, count: source.count) }
        }
    }

    public var count: Int { rows * columns }

    /// True when the rows follow each other without a gap, so that the matrix is one run of `count` elements.
    public var isContiguous: Bool { stride == columns || rows <= 1 }

    public subscript(row: Int, column: Int) -> Element {
        get {
            precondition(row >= 0 && row < rows && column >= 0 && column < columns, "[\(row), \(column)] of \(rows) x \(columns)")
            return base[row * stride + column]
        }
        nonmutating set {
            precondition(row >= 0 && row < rows && column >= 0 && column < columns, "[\(row), \(column)] of \(rows) x \(columns)")
            base[row * stride + column] = newValue
        }
    }

    /// The first element of a row.
    public func row(_ index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < rows, "row \(index) of \(rows)")
        return base + index * stride
    }

    /// A window on some rows.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return Matrix(memory: memory, base: base + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
    }

    /// A window on some columns.
    public func columns(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns \(range) of \(columns)")
        return Matrix(memory: memory, base: base + range.lowerBound, rows: rows, columns: range.count, stride: stride)
    }

    /// The first elements of a contiguous matrix in other rows and columns.
    public func reshaped(_ rows: Int, _ columns: Int) -> Matrix {
        precondition(isContiguous && rows * columns <= count, "[\(rows), \(columns)] in \(count) elements")
        return Matrix(memory: memory, base: base, rows: rows, columns: columns, stride: columns)
    }

    /// The elements row by row.
    public func elements() -> [Element] {
        var result: [Element] = []
        result.reserveCapacity(count)
        for index in 0..<rows {
            result.append(contentsOf: UnsafeBufferPointer(start: base + index * stride, count: columns))
        }
        return result
    }

    /// Copies the elements of a matrix of the same shape into this one.
    public func assign(_ source: Matrix) {
        precondition(source.rows == rows && source.columns == columns, "\(source.rows) x \(source.columns) into \(rows) x \(columns)")
        for index in 0..<rows {
            (base + index * stride).update(from: source.base + index * source.stride, count: columns)
        }
    }

    /// A contiguous copy.
    public func copy() -> Matrix {
        let result = Matrix(uninitialized: rows, columns)
        result.assign(self)
        return result
    }

    /// Runs `body` on the bytes of a contiguous matrix.
    public func withBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        precondition(isContiguous, "bytes of a window with gaps between its rows")
        return try withExtendedLifetime(memory) { () throws(E) -> R in
            try body(UnsafeMutableRawBufferPointer(start: base, count: count * MemoryLayout<Element>.stride))
        }
    }
}
