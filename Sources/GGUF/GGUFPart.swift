// The names of a model's files.

/// One of the files that hold a model together.
public enum GGUFPart {
    /// `model.gguf`, or as llama.cpp calls the parts of several.
    public static func fileName(_ index: Int, of count: Int) -> String {
        func number(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value) }
        return count == 1 ? "model.gguf" : "model-\(number(index + 1))-of-\(number(count)).gguf"
    }
}
