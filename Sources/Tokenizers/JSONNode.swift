// A JSON value together with its place in the file, so that every complaint about it can name the place.

internal import JSON

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

    /// The UTF-8 of a string: Swift compares strings by canonical equivalence, and a vocabulary may not.
    func text() throws(TokenizerError) -> [UInt8] {
        Array(try string().utf8)
    }

    func string() throws(TokenizerError) -> String {
        guard let string = value.string else { throw expected("a string") }
        return string
    }

    func bool() throws(TokenizerError) -> Bool {
        guard let bool = value.boolean else { throw expected("true or false") }
        return bool
    }

    /// A token id: an integer in 0 ..< 2^31.
    func tokenID() throws(TokenizerError) -> Int32 {
        let found: String
        switch value {
        case .integer(let number):
            if let id = Int32(exactly: number), id >= 0 { return id }
            found = "\(number)"
        case .number(let number): found = "\(number)"
        default: throw expected("a token id")
        }
        throw error("expected a token id from 0 to \(Int32.max), found \(found).")
    }

    func elements() throws(TokenizerError) -> [JSONNode] {
        guard let elements = value.array else { throw expected("an array") }
        return elements.enumerated().map { JSONNode(file: file, place: "\(place)[\($0.offset)]", value: $0.element) }
    }

    func members() throws(TokenizerError) -> [(key: String, value: JSONValue)] {
        guard let members = value.object else { throw expected("an object") }
        return members
    }

    // MARK: - Members of an object

    /// The member, or nil where it is absent or null: the format treats both alike.
    func optional(_ key: String) throws(TokenizerError) -> JSONNode? {
        guard let member = try members().first(where: { $0.key.utf8.elementsEqual(key.utf8) }) else { return nil }
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
        for (key, _) in try members() {
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

// In an extension, so that the memberwise initializer stays.
extension JSONNode {
    /// Reads a whole file.
    /// - Parameter file: names it in errors.
    init(json: [UInt8], file: String) throws(TokenizerError) {
        guard String(validating: json, as: UTF8.self) != nil else {
            throw TokenizerError(file: file, place: "", problem: "the file is not valid UTF-8, so it is not JSON.")
        }
        var scanner = JSONScanner(json)
        do {
            let value = try scanner.value(allowsEqualKeys: true)
            try scanner.end()
            self.init(file: file, place: "", value: value)
        } catch {
            throw TokenizerError(file: file, place: "line \(error.line(in: json))", problem: "malformed JSON: \(error.reason).")
        }
    }
}
