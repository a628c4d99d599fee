// Verifying what a verb has just merged.

import Checkpoints
import MessagePassing

/// Verifies a checkpoint that was just merged.
///
/// - Throws: an `AgreedFailure` that names what is damaged.
func verifyMerged(_ directory: String, _ world: Communicator) throws -> VerificationResult {
    let result = try verify(directory, world: world)
    guard result.problems.isEmpty else {
        throw AgreedFailure(rank: 0, exitCode: 74, description: "the merged checkpoint is damaged:\n  " + result.problems.joined(separator: "\n  "))
    }
    return result
}
