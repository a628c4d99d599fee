// An error for programs: one JSON value on standard output, beside the message for people on standard error.

import Glibc
import Reporting

/// The kinds of errors by their exit codes, as `--json` names them.
enum ErrorKind: String {
    case usage, badInput = "bad_input", missingInput = "missing_input", internalError = "internal", system, cannotWrite = "cannot_write", io, stopped, launcher

    init(exitCode: Int32) {
        switch exitCode {
        case EX_USAGE: self = .usage
        case EX_DATAERR: self = .badInput
        case EX_NOINPUT: self = .missingInput
        case EX_OSERR: self = .system
        case EX_CANTCREAT: self = .cannotWrite
        case EX_IOERR: self = .io
        case EX_TEMPFAIL: self = .stopped
        case EX_CONFIG: self = .launcher
        default: self = .internalError
        }
    }
}

/// Says an error: its message on standard error and in the log of the run, and with `--json` a value on standard output too.
func say(error message: String, exitCode: Int32, json: Bool) {
    Console.error("cleave: \(message)\n")
    FailureLog.say(message, exitCode: exitCode)
    if json { Console.output(errorValue(message, exitCode: exitCode)) }
}

/// `{"error": {"code": "bad_input", "exitCode": 65, "message": ...}}`, a line.
func errorValue(_ message: String, exitCode: Int32) -> String {
    struct Value: Encodable {
        var code: String
        var exitCode: Int32
        var message: String
    }
    // Texts and a number are always JSON.
    return (try? jsonLine(["error": Value(code: ErrorKind(exitCode: exitCode).rawValue, exitCode: exitCode, message: message)])) ?? ""
}
