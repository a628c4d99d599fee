// The header of a .npy file: a Python dictionary literal with three known keys.

/// What the header says, restricted to what `NumpyArray` can read.
struct NumpyHeader {
    let elementType: ElementType
    let length: Int

    struct Refusal: Error {
        let reason: String
    }

    /// - Parameter bytes: such as `{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }` and padding
    init(_ bytes: [UInt8]) throws(Refusal) {
        // Bytes above 0x7f appear only in names of record fields, which are refused in any case.
        var parser = Parser(text: Array(String(decoding: bytes, as: UTF8.self)))
        let values = try parser.dictionary()
        guard values.count == 3, let type = values["descr"], let order = values["fortran_order"],
            let shape = values["shape"]
        else {
            throw Refusal(reason: "The .npy header must have the keys descr, fortran_order and shape, and no other.")
        }
        switch type {
        case "'<i4'", "\"<i4\"": elementType = .i32
        case "'<i8'", "\"<i8\"": elementType = .i64
        default:
            throw Refusal(
                reason: "The array's type is \(type); token ids must be '<i4' or '<i8' (little-endian int32 or int64).")
        }
        guard order == "False" else {
            throw Refusal(reason: "The array's fortran_order is \(order); it must be False (row-major).")
        }
        length = try Self.length(shape)
    }

    /// The one dimension of "(N,)".
    private static func length(_ shape: String) throws(Refusal) -> Int {
        let inner = shape.dropFirst().dropLast().filter { $0 != " " }
        guard shape.hasPrefix("("), inner.last == ",", inner.dropLast().allSatisfy({ ("0"..."9").contains($0) }),
            let length = Int(inner.dropLast())
        else {
            throw Refusal(
                reason: "The array's shape is \(shape); token ids must have one dimension. Flatten the array first.")
        }
        return length
    }

    /// Splits the dictionary into keys and the literal text of values.
    private struct Parser {
        let text: [Character]
        var position = 0

        mutating func dictionary() throws(Refusal) -> [String: String] {
            var values: [String: String] = [:]
            try expect("{")
            while next() != "}" {
                let key = String(try value().dropFirst().dropLast())
                try expect(":")
                guard values.updateValue(try value(), forKey: key) == nil else {
                    throw Refusal(reason: "The .npy header gives \(key) twice.")
                }
                if next() == "," { position += 1 } else { break }
            }
            try expect("}")
            guard next() == nil else { throw invalid() }
            return values
        }

        /// A quoted string, a tuple or list without strings in it, or a word.
        private mutating func value() throws(Refusal) -> String {
            guard let first = next() else { throw invalid() }
            let start = position
            position += 1
            switch first {
            case "'", "\"": try skip(past: first)
            case "(": try skip(past: ")")
            case "[": try skip(past: "]")
            default: while position < text.count, text[position].isLetter || text[position].isNumber { position += 1 }
            }
            return String(text[start..<position])
        }

        private mutating func skip(past end: Character) throws(Refusal) {
            while position < text.count, text[position] != end { position += 1 }
            guard position < text.count else { throw invalid() }
            position += 1
        }

        private mutating func expect(_ character: Character) throws(Refusal) {
            guard next() == character else { throw invalid() }
            position += 1
        }

        private mutating func next() -> Character? {
            while position < text.count, text[position].isWhitespace { position += 1 }
            return position < text.count ? text[position] : nil
        }

        private func invalid() -> Refusal {
            Refusal(reason: "The .npy header is not a valid dictionary near its character \(position).")
        }
    }
}
