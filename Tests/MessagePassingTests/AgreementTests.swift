// What all ranks learn of the coordinator's work, failures included, and how the world is made up.

import MessagePassing
import TestWorld
import Testing

extension RankTests {
    @Suite(.serialized) struct Agreement {
        struct Refused: Error, CustomStringConvertible {
            let description: String
        }

        struct Settings: Codable, Equatable {
            var name: String
            var numbers: [Int]
            var missing: String?
        }

        private let world = TestWorld.world

        @Test func everyRankGetsTheCoordinatorsValue() throws {
            var calls = [Int32(0)]
            let value = try world.fromCoordinator(exitCode: { _ in 70 }) {
                calls[0] += 1
                return Settings(name: "é \"quoted\"\n", numbers: [.min, 0, .max], missing: nil)
            }
            #expect(value == Settings(name: "é \"quoted\"\n", numbers: [.min, 0, .max], missing: nil))
            #expect(calls == [world.isCoordinator ? 1 : 0])
        }

        @Test(arguments: [Int?.none, 7])
        func anOptionalMayBeNil(value: Int?) throws {
            #expect(try world.fromCoordinator(exitCode: { _ in 70 }) { value } == value)
        }

        @Test func everyRankGetsTheCoordinatorsError() throws {
            func fail() throws -> Int { throw Refused(description: "no such \"file\": /a/b") }
            do {
                _ = try world.fromCoordinator(exitCode: { $0 is Refused ? 66 : 1 }, fail)
                Issue.record("no error")
            } catch let error as AgreedFailure {
                #expect(world.size > 1)
                #expect(error.rank == 0 && error.exitCode == 66 && error.description == "no such \"file\": /a/b")
            } catch {
                // One rank has nobody to agree with: it sees the error itself.
                #expect(world.size == 1 && error is Refused)
            }
            // The world is in step afterwards.
            var ranks = [world.rank]
            try world.allReduceSum(&ranks)
            #expect(ranks == [world.size * (world.size - 1) / 2])
        }

        @Test func workThatSucceedsEverywhereReturnsEachRanksOwn() throws {
            #expect(try world.together(exitCode: { _ in 70 }) { world.rank * 2 } == world.rank * 2)
        }

        /// Whoever fails, every rank gets the error of the lowest one, by name.
        @Test(arguments: [0, 1, 3])
        func workThatFailsOnSomeRanksFailsOnAll(first: Int) throws {
            guard world.size > first else { return }
            do {
                _ = try world.together(exitCode: { $0 is Refused ? 73 : 1 }) { if world.rank >= first { throw Refused(description: "no \(world.rank)") } }
                Issue.record("no error")
            } catch let error as AgreedFailure {
                let failed = world.size - first
                let others = failed == 1 ? "" : " (and \(failed - 1) more of \(world.size) ranks)"
                #expect(error.rank == first && error.exitCode == 73)
                #expect(error.description == "rank \(first) on \(Session.hostName)\(others): no \(first)")
            } catch {
                #expect(world.size == 1 && error is Refused)
            }
            // The world is in step afterwards.
            var ranks = [world.rank]
            try world.allReduceSum(&ranks)
            #expect(ranks == [world.size * (world.size - 1) / 2])
        }

        @Test func theCoordinatorsWorkIsWaitedFor() throws {
            var calls = [0]
            try world.onCoordinator(exitCode: { _ in 70 }) { calls[0] = 1 }
            try world.allReduceSum(&calls)
            #expect(calls == [1])
        }

        @Test func ranksOfOneNodeShareIt() throws {
            let node = try world.splitByNode()
            var largest = [node.rank]
            try node.allReduceMax(&largest)
            #expect(largest == [node.size - 1])
            #expect(node.size <= world.size)
            // Every rank is in exactly one node: 1 / size of each sums to the number of nodes.
            var leaders = [node.isCoordinator ? 1 : 0]
            try world.allReduceSum(&leaders)
            var sizes = [node.isCoordinator ? node.size : 0]
            try world.allReduceSum(&sizes)
            #expect(sizes == [world.size] && leaders[0] >= 1)
        }

        @Test func ranksAreNumberedFromZero() throws {
            var seen = [Int32](repeating: 0, count: world.size)
            seen[world.rank] = 1
            try world.allReduceSum(&seen)
            #expect(seen.allSatisfy { $0 == 1 })
            #expect(world.isCoordinator == (world.rank == 0))
            #expect(Launcher.current.rank == world.rank)
            try world.barrier()
        }

        @Test func aCallThatMPIRefusesIsAnError() throws {
            guard world.size > 1 else { return }
            var values = [1.0]
            let error = #expect(throws: MPIError.self) {
                try values.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in try world.broadcast(buffer, from: world.size) }
            }
            #expect(error?.description.lowercased().contains("invalid root") == true, "\(error.map(\.description) ?? "")")
        }
    }
}
