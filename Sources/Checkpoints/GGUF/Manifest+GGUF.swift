// What a manifest and the GGUF files that it names say of each other.

internal import GGUF
internal import Recipes
internal import Safetensors

extension Manifest {
    var isGGUF: Bool { format == OutputFormat.gguf.rawValue }

    /// Tensors that are missing, there twice, strange, or other than the manifest has them.
    func ggufProblems(_ directory: String) -> [String] {
        var problems: [String] = []
        var rest = tensors
        for file in files.map(\.name).filter({ $0.hasSuffix(".gguf") }).sorted() {
            do {
                for tensor in try GGUFFile(path: directory + "/" + file).tensors.map(\.tensor) {
                    guard let expected = rest.removeValue(forKey: tensor.name) else {
                        problems.append("tensor \(tensor.name) in \(file) is \(tensors[tensor.name] == nil ? "not in the manifest" : "there twice")")
                        continue
                    }
                    if expected != Tensor(type: tensor.type.name, shape: tensor.shape, file: file) {
                        problems.append(
                            "tensor \(tensor.name) is \(tensor.type.name) \(tensor.shape) in \(file), "
                                + "the manifest says \(expected.type) \(expected.shape) in \(expected.file)")
                    }
                }
            } catch {
                problems.append("\(error)")
            }
        }
        return problems + rest.keys.sorted().map { "tensor \($0) is missing" }
    }
}
