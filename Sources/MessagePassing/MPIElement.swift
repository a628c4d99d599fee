// The Swift types that travel in MPI messages.

internal import CMPI

/// A type with an MPI datatype of the same bytes.
public protocol MPIElement: BitwiseCopyable, Sendable {
    static var datatype: MPIDatatype { get }
}

/// An MPI datatype, opaque to callers.
public struct MPIDatatype {
    let handle: MPI_Datatype
}

extension UInt8: MPIElement {
    public static var datatype: MPIDatatype { MPIDatatype(handle: CMPI_BYTE()) }
}

extension Int32: MPIElement {
    public static var datatype: MPIDatatype { MPIDatatype(handle: CMPI_INT32()) }
}

extension Int: MPIElement {
    public static var datatype: MPIDatatype { MPIDatatype(handle: CMPI_INT64()) }
}

extension Float: MPIElement {
    public static var datatype: MPIDatatype { MPIDatatype(handle: CMPI_FLOAT()) }
}

extension Double: MPIElement {
    public static var datatype: MPIDatatype { MPIDatatype(handle: CMPI_DOUBLE()) }
}
