// What can go wrong in a run, with the exit code it ends with.

internal import Compression
internal import Foundation
internal import Glibc
internal import LinearAlgebra
package import MessagePassing
internal import Packing
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Tokenizers
internal import Transformers

/// A failure of a run that is no other room's own error.
public struct PipelineError: Error, CustomStringConvertible {
    /// Kinds by their exit code (sysexits.h).
    public enum Kind: Int32, Sendable {
        case usage = 64
        case badInput = 65
        case missingInput = 66
        case internalError = 70
        case cannotWrite = 73
        case ioError = 74
        /// Stopped in good order: run again to resume.
        case stopped = 75
    }

    public let kind: Kind
    public let description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// The exit code of an error: 65 for bad data unless the error says otherwise.
public func exitCode(for error: any Error) -> Int32 {
    switch error {
    case let error as PipelineError: error.kind.rawValue
    case let error as AgreedFailure: error.exitCode
    case let error as SafetensorsError: error.exitCode
    case let error as SessionError: error.exitCode
    case is MPIError, is SharedMemoryError, is AddressSpaceShortage: EX_OSERR
    case is TensorParallelError: EX_USAGE
    case is PackingError, is RecipeError, is PlanError, is MemoryShortage, is ProfileError, is ArchitectureError, is TokenizerError, is RotationError:
        EX_DATAERR
    // What the user's files and settings lead to further on; a repetition would end alike.
    case is ForwardError, is PatternError, is CompressionError, is DecodingError: EX_DATAERR
    case is CocoaError: EX_IOERR
    default: EX_SOFTWARE
    }
}

extension Communicator {
    /// Runs work that succeeds or fails alike on every rank, so that its failure is printed once.
    package func agreed<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw AgreedFailure(rank: 0, exitCode: exitCode(for: error), description: String(describing: error))
        }
    }
}

extension SafetensorsError {
    fileprivate var exitCode: Int32 {
        switch kind {
        case .missing, .notPermitted: EX_NOINPUT
        case .malformed, .unknownTensor: EX_DATAERR
        case .invalidRequest: EX_SOFTWARE
        case .diskFull, .notWritable: EX_CANTCREAT
        case .notReadable: EX_IOERR
        case .noMemory: EX_OSERR
        }
    }
}
