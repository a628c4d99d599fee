// A JSON value together with its place in the file, so that every complaint about it can name the place.

/// A value of a `tokenizer.json` and the path of keys that leads to it.
struct JSONNode {
    let file: String
    let place: String
    let value: JSONValue

    func error(_ problem: String) -> TokenizerError {
        TokenizerError(file: file, place: place, problem: problem)
    }

    private func expected(_ what: String) -> TokenizerError {
        error("expected \(what), found \(value.kind).")
    }

    // MARK: - Reading

    func text() throws(TokenizerError) -> [UInt8] {
        guard case .string(let bytes) = value else { throw expected("a string") }
        return bytes
    }

    func string() throws(TokenizerError) -> String {
        String(decoding: try text(), as: UTF8.self)
    }

    func bool() throws(TokenizerError) -> Bool {
        guard case .bool(let bool) = value else { throw expected("true or false") }
        return bool
    }

    /// A token id: an integer in 0 ..< 2^31.
    func tokenID() throws(TokenizerError) -> Int32 {
        guard case .number(let digits) = value else { throw expected("a token id") }
        let spelling = String(decoding: digits, as: UTF8.self)
        guard let id = Int32(spelling), id >= 0 else {
            throw error("expected a token id from 0 to \(Int32.max), found \(spelling).")
        }
        return id
    }

    func elements() throws(TokenizerError) -> [JSONNode] {
        guard case .array(let elements) = value else { throw expected("an array") }
        return elements.enumerated().map { JSONNode(file: file, place: "\(place)[\($0.offset)]", value: $0.element) }
    }

    func members() throws(TokenizerError) -> [JSONValue.Member] {
        guard case .object(let members) = value else { throw expected("an object") }
        return members
    }

    // MARK: - Members of an object

    /// The member, or nil where it is absent or null: the format treats both alike.
    func optional(_ key: String) throws(TokenizerError) -> JSONNode? {
        guard let member = try members().first(where: { $0.key.elementsEqual(key.utf8) }) else { return nil }
        if case .null = member.value { return nil }
        return JSONNode(file: file, place: place.isEmpty ? key : "\(place).\(key)", value: member.value)
    }

    func required(_ key: String) throws(TokenizerError) -> JSONNode {
        guard let member = try optional(key) else { throw error("the key \"\(key)\" is missing or null.") }
        return member
    }

    func bool(_ key: String, default fallback: Bool) throws(TokenizerError) -> Bool {
        try optional(key)?.bool() ?? fallback
    }

    /// Refuses keys outside `keys`: a setting that this code does not know could change the ids. Also refuses a key given twice.
    func allowOnly(_ keys: Set<String>) throws(TokenizerError) {
        var seen: Set<String> = []
        for member in try members() {
            let key = String(decoding: member.key, as: UTF8.self)
            guard keys.contains(key) else { throw error("the key \"\(key)\" is not supported here.") }
            guard seen.insert(key).inserted else { throw error("the key \"\(key)\" is given twice.") }
        }
    }

    // MARK: - Components

    func type() throws(TokenizerError) -> String {
        try required("type").string()
    }

    func unsupported(type: String, supported: String) -> TokenizerError {
        error("the type \"\(type)\" is not supported (supported: \(supported)).")
    }
}
