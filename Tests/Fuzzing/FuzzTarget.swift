// Where libFuzzer enters: gives each input to the target that CLEAVE_FUZZ_TARGET names.

import Foundation

/// A reader of foreign bytes under test. It returns when the bytes were read or refused with the room's own error, and traps otherwise.
struct FuzzTarget: Sendable {
    let name: String
    let run: @Sendable ([UInt8]) -> Void

    static let all: [FuzzTarget] = [
        .configuration, .gguf, .index, .journal, .manifest, .numpy, .parquet, .partialCheckpoint, .recipe, .safetensors, .tokenizer,
    ]

    static let chosen: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["CLEAVE_FUZZ_TARGET"] ?? ""
        guard let target = all.first(where: { $0.name == name }) else {
            print("CLEAVE_FUZZ_TARGET is \"\(name)\"; the targets are \(all.map(\.name).joined(separator: " "))")
            exit(64)
        }
        return target
    }()
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.chosen.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}

/// Runs a reader; only errors of the type that its room promises may come out.
func expecting<Failure: Error>(_: Failure.Type, _ body: () throws -> Void) {
    do {
        try body()
    } catch is Failure {
    } catch {
        fatalError("not the room's own error: \(error)")
    }
}

/// Ends the process, with its message also in optimized builds, where a claim about what was read does not hold.
func claim(_ holds: Bool, _ message: @autoclosure () -> String) {
    if !holds { fatalError(message()) }
}
