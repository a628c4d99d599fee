// Regular expressions by Oniguruma, the engine of the reference library: the same patterns find the same matches.

import COniguruma

/// A compiled regular expression over UTF-8, in Oniguruma's default syntax.
// Sendable: a compiled expression is only read by searches, each of which has its own region and stack (Oniguruma, doc/API).
final class RegularExpression: @unchecked Sendable {
    /// What Oniguruma says against a pattern or during a search.
    struct Failure: Error {
        let message: String

        /// A replacement, repeated, makes far more text than it was given.
        static func tooLarge(_ limit: Int) -> Failure {
            Failure(message: "the text grows beyond \(limit) bytes")
        }
    }

    private static let initialization = COniguruma_initialize()
    private let compiled: OnigRegex

    init(_ pattern: [UInt8]) throws(Failure) {
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
    func forEachMatch(
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
                position += position < text.count ? UTF8Scalars.width(leading: text[position]) : 1
                continue
            }
            body(match)
            position = match.upperBound
            lastEnd = match.upperBound
        }
    }

    private static func failure(code: CInt, info: UnsafeMutablePointer<OnigErrorInfo>?) -> Failure {
        let message = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(ONIG_MAX_ERROR_MESSAGE_LEN)) { buffer in
            let count = COniguruma_message(buffer.baseAddress, code, info)
            return String(decoding: buffer.prefix(Int(max(0, count))), as: UTF8.self)
        }
        return Failure(message: message)
    }
}
