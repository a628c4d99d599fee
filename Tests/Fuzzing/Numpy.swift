// A .npy file of token ids.

import Safetensors

extension FuzzTarget {
    static let numpy = FuzzTarget(name: "numpy") { bytes in
        let path = Scratch.write(bytes, to: "input.npy")
        expecting(SafetensorsError.self) {
            let array = try NumpyArray(path: path)
            claim(array.values.count * array.elementType.bits / 8 <= bytes.count, "\(array.values.count) ids in \(bytes.count) bytes")
        }
    }
}
