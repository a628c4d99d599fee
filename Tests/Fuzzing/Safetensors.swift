// A safetensors file: what its header says must lie in the file, and both ways of reading must give the same bytes.

import Safetensors

extension FuzzTarget {
    static let safetensors = FuzzTarget(name: "safetensors") { bytes in
        let path = Scratch.write(bytes, to: "input.safetensors")
        expecting(SafetensorsError.self) {
            let (mapped, read) = (try SafetensorsFile(path: path, access: .mapped), try SafetensorsFile(path: path, access: .pread))
            for entry in mapped.entries {
                claim(entry.bytes.count == entry.description.byteCount && entry.bytes.upperBound <= bytes.count, "\(entry) in \(bytes.count) bytes")
                let data = try mapped.withBytes(of: entry.name) { Array($0) }
                claim(data.elementsEqual(bytes[entry.bytes]), "\(entry.name) mapped")
                claim(data == (try read.withBytes(of: entry.name) { Array($0) }), "\(entry.name) read")
            }
        }
    }
}
