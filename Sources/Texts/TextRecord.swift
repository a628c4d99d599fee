// A document as JSON: an object with a field that holds its text, or the text itself.

internal import JSON

/// Takes texts out of records.
struct TextRecord {
    /// The field that holds the text.
    let field: String

    struct Problem: Error {
        /// What is wrong with a record, to stand behind its place.
        let reason: String
    }

    /// The field of records, and the column of tables, where the recipe names none.
    static let defaultField = "text"

    func text(of record: JSONValue) -> Result<String, Problem> {
        if let text = record.string { return .success(text) }
        guard let fields = record.object else { return .failure(Problem(reason: "is \(record.kind), not an object with a field `\(field)`")) }
        let found = fields.filter { $0.key == field }
        guard let first = found.first, found.count == 1 else {
            return .failure(Problem(reason: found.isEmpty ? missing(fields) : "has more than one field `\(field)`"))
        }
        if let text = first.value.string { return .success(text) }
        return .failure(Problem(reason: "has in its field `\(field)` \(first.value.kind), not a string\(isChat(first.value) ? "; \(Self.chatRemedy)" : "")"))
    }

    private func missing(_ fields: [(key: String, value: JSONValue)]) -> String {
        if let chat = fields.first(where: { isChat($0.value) }) {
            return "has no field `\(field)`, and a chat in `\(chat.key)`; \(Self.chatRemedy)"
        }
        let names = fields.prefix(8).map { "`\($0.key)`" }.joined(separator: ", ")
        let others = fields.isEmpty ? "it is empty" : "it has \(names)\(fields.count > 8 ? " and more" : "")"
        let other = fields.first { $0.value.string != nil }
        return
            "has no field `\(field)`; \(others)\(other.map { "; `jq -c '{text: .\($0.key)}' FILE` makes one of `\($0.key)`, and `calibration.source` may name it as `field`" } ?? "")"
    }

    /// Whether it is a list of messages, each by somebody.
    private func isChat(_ value: JSONValue) -> Bool { value.array?.first.map { $0["role"] != nil || $0["from"] != nil } ?? false }

    /// What to do with chats.
    static let chatRemedy =
        "a chat becomes text by the chat template of the tokenizer, and Cleave applies none: let transformers write JSON lines with a field `text` "
        + "(`tokenizer.apply_chat_template(messages, tokenize=False)`)"
}
