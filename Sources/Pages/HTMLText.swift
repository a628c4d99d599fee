// Text that others wrote, made safe between tags and inside attributes in quotes.

internal import Mustache

/// Escapes what has a meaning in HTML.
///
/// The library's own escaping looks at characters, and a quote with an accent is another character than a quote: browsers look at scalars, and so does this.
/// What no HTML may hold (control characters) is replaced.
struct HTMLText: MustacheContentType {
    /// What templates call it in their first line; a template without it has the library's escaping.
    static let name = "HTML_TEXT"

    func escapeText(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": result.append(contentsOf: "&lt;".unicodeScalars)
            case ">": result.append(contentsOf: "&gt;".unicodeScalars)
            case "&": result.append(contentsOf: "&amp;".unicodeScalars)
            case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
            case "'": result.append(contentsOf: "&#39;".unicodeScalars)
            case "\n", "\t": result.append(scalar)
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value): result.append("\u{fffd}")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
