// Which libraries decompress.

internal import CZlib
internal import CZstd

/// The libraries of this room.
package enum DecompressionLibraries {
    /// Names and versions of those that know their version; Snappy's C interface does not.
    package static var versions: [(name: String, version: String)] {
        [("zlib", String(cString: zlibVersion())), ("zstd", String(cString: ZSTD_versionString()))]
    }
}
