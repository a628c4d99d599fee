// Buffers that every rank sends to one and receives from another.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct Exchanges {
        /// Messages of any length, also empty ones, in pieces or whole, at any distance.
        @Test(arguments: worlds)
        func eachGetsWhatWasMeantForIt(cut: Cut) throws {
            let world = try cut.world
            /// What goes from one rank to another: as long as the two say.
            func message(_ from: Int, _ to: Int) -> [UInt8] { (0..<(from * 7 + to * 3) % 11).map { UInt8(from * 40 + to * 10 + $0) } }
            for distance in 1..<max(world.size, 2) where world.size > 1 {
                let (destination, source) = ((world.rank + distance) % world.size, (world.rank + world.size - distance) % world.size)
                let sent = message(world.rank, destination), expected = message(source, world.rank)
                var received = [UInt8](repeating: 255, count: expected.count)
                try sent.withUnsafeBufferPointer { sent in
                    try received.withUnsafeMutableBufferPointer { (received) throws(MPIError) in
                        try world.exchange(sent, to: destination, received, from: source)
                    }
                }
                #expect(received == expected, "distance \(distance)")
            }
        }
    }
}
