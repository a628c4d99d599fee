// Every number of a model, looked at before it is worked with.

public import MessagePassing
internal import Safetensors

extension Model {
    /// Reads every number of the model, each by one rank.
    /// - Throws: an `AgreedFailure` (65) that names the tensor and the place of the first that is not finite.
    public func checkNumbers(world: Communicator) throws {
        let check = NumberCheck(checkpoint.index, architecture, scaled: tensors.scaled)
        for (file, entry) in checkpoint.index.files.enumerated() {
            _ = try SourceFiles.checksum(checkpoint.index.path(of: file), bytes: entry.byteCount, world, (check, file))
        }
    }
}
