// Regular expressions by Oniguruma, which counts its retries: a search that would take exponential time ends in an error.

internal import COniguruma

/// A compiled regular expression over UTF-8, in Oniguruma's default syntax.
// Sendable: a compiled expression is only read by searches, each of which has its own region and stack (Oniguruma, doc/API).
package final class RegularExpression: @unchecked Sendable {
    /// What Oniguruma says against a pattern or during a search.
    package struct Failure: Error {
        package let message: String

        package init(message: String) {
            self.message = message
        }
    }

    /// The version of Oniguruma that was loaded.
    package static var library: String { onig_version().map { String(cString: $0) } ?? "?" }

    private static let initialization = COniguruma_initialize()
    private let compiled: OnigRegex

    /// - Parameter pattern: UTF-8.
    package init(_ pattern: [UInt8]) throws(Failure) {
        guard Self.initialization == ONIG_NORMAL else { throw Self.failure(code: Self.initialization, info: nil) }
        var regex: OnigRegex?
        var info = OnigErrorInfo()
        let code = pattern.withUnsafeBufferPointer { pattern in
            // An empty array may have no address; Oniguruma wants one.
            withUnsafePointer(to: UInt8(0)) { empty in
                let start = pattern.baseAddress ?? empty
                return COniguruma_new(&regex, start, start + pattern.count, &info)
            }
        }
        guard code == ONIG_NORMAL, let regex else { throw Self.failure(code: code, info: &info) }
        compiled = regex
    }

    deinit {
        onig_free(compiled)
    }

    /// All matches from left to right, not overlapping; an empty match directly after a match is passed over.
    ///
    /// - Parameter text: UTF-8.
    package func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void
    ) throws(Failure) {
        guard let start = text.baseAddress, !text.isEmpty, let region = onig_region_new() else { return }
        defer { onig_region_free(region, 1) }
        let end = start + text.count
        var position = 0
        var lastEnd = -1
        while position <= text.count {
            let found = onig_search(compiled, start, end, start + position, end, region, ONIG_OPTION_NONE)
            if found == ONIG_MISMATCH { return }
            guard found >= 0 else { throw Self.failure(code: found, info: nil) }
            let match = Int(region.pointee.beg[0])..<Int(region.pointee.end[0])
            if match.isEmpty, match.upperBound == lastEnd {
                // To the next scalar.
                repeat { position += 1 } while position < text.count && text[position] & 0xc0 == 0x80
                continue
            }
            body(match)
            position = match.upperBound
            lastEnd = match.upperBound
        }
    }

    /// Whether the text, or a part of it from its beginning on, matches.
    ///
    /// - Parameter retries: how often the search may go back and try another way, before it fails.
    package func matchesStart(of text: String, retries: UInt) throws(Failure) -> Bool {
        guard let parameters = onig_new_match_param() else { throw Self.failure(code: ONIGERR_MEMORY, info: nil) }
        defer { onig_free_match_param(parameters) }
        onig_initialize_match_param(parameters)
        onig_set_retry_limit_in_match_of_match_param(parameters, retries)
        let found = text.utf8CString.withUnsafeBytes { bytes in
            let start = bytes.assumingMemoryBound(to: UInt8.self).baseAddress
            let end = start.map { $0 + bytes.count - 1 }
            return onig_match_with_param(compiled, start, end, start, nil, ONIG_OPTION_NONE, parameters)
        }
        if found == ONIG_MISMATCH { return false }
        guard found >= 0 else { throw Self.failure(code: found, info: nil) }
        return true
    }

    private static func failure(code: CInt, info: UnsafeMutablePointer<OnigErrorInfo>?) -> Failure {
        let message = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(ONIG_MAX_ERROR_MESSAGE_LEN)) { buffer in
            let count = COniguruma_message(buffer.baseAddress, code, info)
            return String(decoding: buffer.prefix(Int(max(0, count))), as: UTF8.self)
        }
        return Failure(message: message)
    }
}
