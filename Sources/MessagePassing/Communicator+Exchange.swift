// Buffers that pairs of ranks exchange.

internal import CMPI

extension Communicator {
    /// Sends a buffer to rank `destination` and fills another with what rank `source` sends, which is as long. Every rank of the group calls it with the
    /// same distance to its destination as to its source, such as 1 for the next and the one before; either buffer may be empty.
    public func exchange(
        _ sent: UnsafeBufferPointer<UInt8>, to destination: Int, _ received: UnsafeMutableBufferPointer<UInt8>, from source: Int
    ) throws(MPIError) {
        guard size > 1 else { return }
        if !sent.isEmpty { count(bytes: sent.count, to: destination) }
        let code = inPieces(max(sent.count, received.count)) { offset, count in
            let (outgoing, incoming) = (piece(sent.count, offset, count), piece(received.count, offset, count))
            return MPI_Sendrecv(
                sent.baseAddress.map { $0 + min(offset, sent.count) }, outgoing, CMPI_BYTE(), outgoing > 0 ? Int32(destination) : CMPI_PROC_NULL(), 0,
                received.baseAddress.map { $0 + min(offset, received.count) }, incoming, CMPI_BYTE(), incoming > 0 ? Int32(source) : CMPI_PROC_NULL(), 0,
                handle, CMPI_STATUS_IGNORE())
        }
        try check("MPI_Sendrecv", code)
    }

    /// Bytes of a buffer of `total` that a piece takes.
    private func piece(_ total: Int, _ offset: Int, _ count: Int32) -> Int32 { Int32(min(max(total - offset, 0), Int(count))) }
}
