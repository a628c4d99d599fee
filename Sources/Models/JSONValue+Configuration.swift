// config.json as a JSON value.

package import Failures
package import JSON

extension JSONValue {
    /// - Parameters:
    ///   - configuration: the bytes of a config.json.
    ///   - directory: the model's, for messages.
    package init(configuration: [UInt8], of directory: String) throws(PipelineError) {
        do {
            try self.init(parsing: configuration)
        } catch {
            throw PipelineError(.badInput, "\(directory)/config.json is not valid JSON: line \(error.line(in: configuration)): \(error.reason)")
        }
    }
}
