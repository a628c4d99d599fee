// What writes a file of tensors, whatever its format.

internal import GGUF
internal import Safetensors

/// Takes the bytes of tensors in the order of `descriptions`; the file appears whole or not at all.
protocol TensorWriter: AnyObject {
    var descriptions: [TensorDescription] { get }
    func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws
    func finish() throws -> WrittenFile
    func abandon()
}

extension SafetensorsWriter: TensorWriter {
    var descriptions: [TensorDescription] { entries.map(\.description) }
    func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws { try append(bytes, to: Optional(name)) }
}

/// Tensors of a GGUF file, those of blocks described by their bytes.
final class GGUFTensorWriter: TensorWriter {
    let descriptions: [TensorDescription]
    private let writer: GGUFWriter

    init(path: String, _ header: GGUFHeader, descriptions: [TensorDescription]) throws {
        self.descriptions = descriptions
        writer = try GGUFWriter(path: path, header)
    }

    func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws { try writer.append(bytes, to: name) }
    func finish() throws -> WrittenFile { try writer.finish() }
    func abandon() { writer.abandon() }
}
