// The head of a GGUF file: what it says must lie in the file, and so must the tensors of the model that it is read as.

import Failures
import GGUF
import Safetensors

@testable import Models

extension FuzzTarget {
    static let gguf = FuzzTarget(name: "gguf") { bytes in
        let path = Scratch.write(bytes, to: "\(directory)/model.gguf")
        expecting(SafetensorsError.self) {
            for placed in try GGUFFile(path: path).tensors {
                claim(placed.bytes.upperBound <= bytes.count && placed.bytes.count == placed.tensor.byteCount, "\(placed) in \(bytes.count) bytes")
                claim(placed.tensor.shape.dropLast().reduce(placed.tensor.rowBytes, *) == placed.tensor.byteCount, "\(placed) has other rows")
            }
        }
        for modelType in ["llama", "mixtral", "deepseek_v3"] {
            do {
                guard let index = try CheckpointIndex(gguf: "\(Scratch.folder)/\(directory)", modelType: modelType) else { fatalError("the file is not seen") }
                claim(index.tensors.values.allSatisfy { $0.bytes.upperBound <= bytes.count }, "a tensor outside its file")
            } catch is SafetensorsError {
            } catch is PipelineError {
            } catch {
                fatalError("not the room's own error: \(error)")
            }
        }
    }

    private static let directory: String = {
        _ = Scratch.makeFolder("model")
        return "model"
    }()
}
