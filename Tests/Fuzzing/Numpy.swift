// A .npy file of token ids.

import Safetensors

extension FuzzTarget {
    static let numpy = FuzzTarget(name: "numpy") { bytes in
        let path = Scratch.write(bytes, to: "input.npy")
        expecting(SafetensorsError.self) {
            let array = try NumpyArray(path: path)
            let values = try array.values(0..<array.count)
            claim(values.count * array.elementType.bits / 8 <= bytes.count, "\(values.count) ids in \(bytes.count) bytes")
        }
    }
}
