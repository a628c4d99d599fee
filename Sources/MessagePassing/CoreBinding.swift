// Ranks bound to cores of their own, where the cores of a host are theirs.

internal import CAffinity
internal import Foundation

/// Whether ranks bind themselves to cores.
///
/// A launcher that binds starts at the host's first core, whoever else computes there: two runs on one host would share cores while others rest. Each
/// host is looked at by itself.
public enum CoreBinding: String, Sendable {
    /// Where the ranks of a host together take all cores that they may run on: those of the host, of a batch system's cpuset, or of `taskset`.
    case automatic = "auto"
    /// Wherever there are enough cores.
    case core

    /// What `run_mpi.sh` asks for in CLEAVE_BIND; nil leaves the ranks as the launcher bound them.
    public static let fromEnvironment = ProcessInfo.processInfo.environment["CLEAVE_BIND"].flatMap(CoreBinding.init)

    /// Binds this thread, and those that it will start, to `threads` cores. Collective.
    ///
    /// - Returns: in words, where ranks are bound now.
    public func apply(_ world: Communicator, threads: Int) throws -> String {
        let node = try world.splitByNode()
        let cores = Cores.available()
        let needed = node.size * threads
        // [bound ranks, ranks]
        var counts = [0, 1]
        if self == .core ? needed <= cores.count : needed == cores.count {
            let own = cores[node.rank * threads..<(node.rank + 1) * threads].flatMap { $0 }
            if Cores.bind(to: own) { counts[0] = 1 }
        }
        try world.allReduceSum(&counts)
        let own = "\(threads) core\(threads == 1 ? "" : "s") of its own"
        switch counts[0] {
        case counts[1]: return "each rank is bound to \(own)"
        case 0: return "ranks are not bound to cores, since they do not take all \(cores.count) cores of a host (`--bind core` binds them all the same)"
        default: return "\(counts[0]) of \(counts[1]) ranks, those that take all cores of their host, are each bound to \(own)"
        }
    }
}

/// The cores of this host; a core is a list of the processors (hardware threads) that it offers.
package enum Cores {
    /// Words of a mask: 8192 processors, as many as Linux is built for.
    private static let words = 128

    /// The cores that this thread may run on, those of a package side by side.
    package static func available() -> [[Int]] {
        var mask = [UInt](repeating: 0, count: words)
        guard CAffinity_get(&mask, words * MemoryLayout<UInt>.size) == 0 else { return [] }
        return grouped((0..<words * UInt.bitWidth).filter { mask[$0 / UInt.bitWidth] >> ($0 % UInt.bitWidth) & 1 == 1 }) { processor in
            let topology = "/sys/devices/system/cpu/cpu\(processor)/topology/"
            let text = { (name: String) in (try? String(contentsOfFile: topology + name, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines) }
            return (text("physical_package_id").flatMap(Int.init) ?? 0, text("core_cpus_list") ?? text("thread_siblings_list") ?? "\(processor)")
        }
    }

    /// Groups processors by core.
    ///
    /// - Parameter place: the package of a processor, and a name of its core.
    package static func grouped(_ processors: [Int], place: (Int) -> (package: Int, core: String)) -> [[Int]] {
        var cores: [String: (package: Int, processors: [Int])] = [:]
        for processor in processors {
            let (package, core) = place(processor)
            cores[core, default: (package, [])].processors.append(processor)
        }
        return cores.values.sorted { ($0.package, $0.processors[0]) < ($1.package, $1.processors[0]) }.map(\.processors)
    }

    /// - Returns: whether the system did it.
    package static func bind(to processors: [Int]) -> Bool {
        var mask = [UInt](repeating: 0, count: words)
        for processor in processors { mask[processor / UInt.bitWidth] |= 1 << (processor % UInt.bitWidth) }
        return CAffinity_set(mask, words * MemoryLayout<UInt>.size) == 0
    }
}
