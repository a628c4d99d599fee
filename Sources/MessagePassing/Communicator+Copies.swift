// Copies of buffers and arrays between the ranks of a group.

internal import CMPI

extension Communicator {
    /// Copies the buffer of rank `root` into the others' buffers of the same length.
    public func broadcast<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from root: Int = 0) throws(MPIError) {
        guard size > 1, let base = buffer.baseAddress else { return }
        if rank == root { count(bytes: buffer.count * MemoryLayout<E>.stride) }
        let code = inPieces(buffer.count) { offset, count in
            MPI_Bcast(base + offset, count, E.datatype.handle, Int32(root), handle)
        }
        try check("MPI_Bcast", code)
    }

    /// The array of rank `root`, of a length that only `root` needs to know.
    public func broadcast<E: MPIElement>(_ values: [E], from root: Int = 0) throws(MPIError) -> [E] {
        guard size > 1 else { return values }
        var length = [values.count]
        try length.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try broadcast(buffer, from: root) }
        var result = rank == root ? values : [E](unsafeUninitializedCapacity: length[0]) { $1 = length[0] }
        try result.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try broadcast(buffer, from: root) }
        return result
    }

    /// The arrays of all ranks, in their order, on rank `root`; empty elsewhere.
    public func gather<E: MPIElement>(_ values: [E], to root: Int = 0) throws(MPIError) -> [[E]] {
        var lengths = [Int](repeating: 0, count: size)
        lengths[rank] = values.count
        try allReduceSum(&lengths)
        guard size > 1 else { return [values] }
        if rank != root {
            var values = values
            try values.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try send(buffer, to: root) }
            return []
        }
        var result: [[E]] = []
        for (source, length) in lengths.enumerated() {
            if source == root {
                result.append(values)
                continue
            }
            var received = [E](unsafeUninitializedCapacity: length) { $1 = length }
            try received.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try receive(buffer, from: source) }
            result.append(received)
        }
        return result
    }

    /// Sends a buffer to rank `destination`, which calls `receive`; no other rank takes part.
    public func send<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, to destination: Int) throws(MPIError) {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
        count(bytes: buffer.count * MemoryLayout<E>.stride, to: destination)
        let code = inPieces(buffer.count) { offset, count in
            MPI_Send(base + offset, count, E.datatype.handle, Int32(destination), 0, handle)
        }
        try check("MPI_Send", code)
    }

    /// Fills a buffer with what rank `source` sends, which is as long.
    public func receive<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from source: Int) throws(MPIError) {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
        let code = inPieces(buffer.count) { offset, count in
            MPI_Recv(base + offset, count, E.datatype.handle, Int32(source), 0, handle, CMPI_STATUS_IGNORE())
        }
        try check("MPI_Recv", code)
    }
}
