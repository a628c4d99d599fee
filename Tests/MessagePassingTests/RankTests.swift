// Every rank test, one after the other: all ranks must reach the same calls in the same order.

import MessagePassing
import TestWorld
import Testing

/// Run alone for a world of one, and under mpirun for more. A rank that leaves a test early keeps the others waiting until mpirun's timeout, so
/// the tests expect rather than require, and only unexpected errors end them.
@Suite(.serialized) struct RankTests {}

/// The world as it is, and with messages cut into pieces of 3 elements.
let worlds: [Cut] = [.whole, .pieces]

enum Cut: String, Sendable {
    case whole, pieces

    var world: Communicator {
        get throws { self == .whole ? TestWorld.world : try TestWorld.world.cutting(every: 3) }
    }
}

/// What rank `rank` has at place `index` before a collective: different at every place of every rank, and exact in fp32.
func value(_ rank: Int, _ index: Int) -> Int { (rank + 1) * 1000 + index }
