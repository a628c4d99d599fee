// A directory without a checkpoint that can be read: what it holds instead, and what to do.

internal import Foundation
internal import Glibc

extension CheckpointIndex {
    /// Why no weights were found in a directory.
    static func noWeights(in directory: String) -> SafetensorsError {
        func error(_ kind: SafetensorsError.Kind, _ reason: String, file: String? = nil) -> SafetensorsError {
            SafetensorsError(kind, path: file.map { FilePath.join(directory, $0) } ?? directory, reason)
        }
        guard FilePath.exists(directory) else { return error(.missing, "The directory does not exist.") }
        guard access(directory, R_OK | X_OK) == 0, let names = try? FileManager.default.contentsOfDirectory(atPath: directory).sorted() else {
            return error(.notPermitted, "The directory may not be read by this user. Change its permissions.")
        }
        for name in [ShardIndex.singleFileName, ShardIndex.fileName] {
            if let target = FilePath.linkTarget(FilePath.join(directory, name)) {
                return error(.missing, "This is a link to \(target), which does not exist. Fetch the checkpoint again.", file: name)
            }
        }
        let lacks = "The directory has neither \(ShardIndex.singleFileName) nor \(ShardIndex.fileName)"
        if names.contains("adapter_model.safetensors") || names.contains("adapter_model.bin") {
            return error(.missing, "\(lacks), but an adapter (LoRA). Merge it into its base model (peft: `merge_and_unload`) and save that as safetensors.")
        }
        let safetensors = names.filter { $0.hasSuffix(".safetensors") }
        if safetensors.count == 1 {
            return error(
                .missing, "\(lacks), but \(safetensors[0]), a name under which clients do not look for weights. Rename it to \(ShardIndex.singleFileName).")
        }
        if let first = safetensors.first {
            return error(.missing, "\(lacks), but \(safetensors.count) other files such as \(first). The index is missing; fetch the checkpoint again.")
        }
        if let pickle = names.first(where: { name in [".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5"].contains { name.hasSuffix($0) } }) {
            return error(
                .missing,
                "\(lacks), but \(pickle), weights in a format that Cleave does not read. Convert them: `python -c 'import sys, transformers; "
                    + "transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=\"auto\").save_pretrained(sys.argv[2])' \(directory) NEW-DIRECTORY`."
            )
        }
        if let gguf = names.first(where: { $0.hasSuffix(".gguf") }) {
            return error(.missing, "\(lacks), but \(gguf), weights of llama.cpp. Give the model that it was made from.")
        }
        return error(.missing, "\(lacks).")
    }
}
