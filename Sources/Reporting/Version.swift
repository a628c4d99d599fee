// Which version of Cleave this is.

/// The version of this program, part of every plan's hash.
public let cleaveVersion = "0.20.0"
