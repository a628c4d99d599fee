// Messages that are on their way while their ranks do something else.

internal import CMPI

/// A message that was begun; its buffer is in use until `finish` has returned.
struct Transfer {
    fileprivate var requests: [MPI_Request] = []

    func finish() throws(MPIError) {
        for request in requests { try check("MPI_Wait", CMPI_wait(request)) }
    }
}

extension Communicator {
    /// Begins to send a buffer to rank `destination`, which calls `receive` or `beginReceive`.
    func beginSend<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, to destination: Int) throws(MPIError) -> Transfer {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return Transfer() }
        count(bytes: buffer.count * MemoryLayout<E>.stride, to: destination)
        return try begin("MPI_Isend", buffer.count) { offset, count, code in
            CMPI_begin_send(base + offset, count, E.datatype.handle, Int32(destination), handle, &code)
        }
    }

    /// Begins to fill a buffer with what rank `source` sends, which is as long.
    func beginReceive<E: MPIElement>(_ buffer: UnsafeMutableBufferPointer<E>, from source: Int) throws(MPIError) -> Transfer {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return Transfer() }
        return try begin("MPI_Irecv", buffer.count) { offset, count, code in
            CMPI_begin_receive(base + offset, count, E.datatype.handle, Int32(source), handle, &code)
        }
    }

    private func begin(_ function: String, _ total: Int, _ body: (Int, Int32, inout Int32) -> MPI_Request) throws(MPIError) -> Transfer {
        var transfer = Transfer()
        let code = inPieces(total) { offset, count in
            var code: Int32 = 0
            transfer.requests.append(body(offset, count, &code))
            return code
        }
        try check(function, code)
        return transfer
    }
}
