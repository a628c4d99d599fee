// Reading a model directory's config.json, and saying what is wrong when it is not there.

internal import Failures
internal import Foundation
internal import Safetensors

/// The bytes of a model's config.json.
/// - Throws: `PipelineError` (66) when directory or file are missing; `SafetensorsError` when the file cannot be read, or is something else
func readConfiguration(_ directory: String) throws -> [UInt8] {
    do {
        return try InputFile.json(of: directory + "/config.json")
    } catch {
        guard error.kind == .missing else { throw error }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory) else {
            let link = FilePath.linkTarget(directory).map { ", but a link to \($0), which does not exist" } ?? ""
            throw PipelineError(.missingInput, "\(directory): no such model directory\(link)")
        }
        guard isDirectory.boolValue else { throw PipelineError(.missingInput, "\(directory) is a file; a Hugging Face model directory is needed") }
        if FilePath.linkTarget(error.path ?? "") != nil { throw error }
        throw PipelineError(
            .missingInput, "\(directory)/config.json is missing: this is no Hugging Face model directory, or one that is not finished")
    }
}
