// run_mpi.sh on several hosts, when one of them is lost. Hosts are those of Cluster/lab.sh.

import Foundation
import Testing

enum Lab {
    /// Whether this machine lets us make network namespaces.
    static let isAvailable: Bool = {
        let run = try? CleaveProcess.run(command: ["Cluster/lab.sh", "2", "--", "true"])
        return run?.exitCode == 0
    }()
}

@Suite(.serialized, .enabled(if: Lab.isAvailable, "Cluster/lab.sh needs root and network namespaces"))
struct LabTests {
    @Test func twoHostsGiveTheSameBytes() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" -- \(Disturbance.compress(into: directory.path + "/out"))
            finish
            exit $code
            """, in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("4 ranks"))
        #expect(try SmallRun.files(directory.path + "/out") == Disturbance.reference.get())
    }

    /// Tokens travel to experts on the other host, and outputs back.
    @Test func twoHostsShareExperts() throws {
        let model = try WideModel(columns: 192, blocks: 2, family: "qwen2_moe", experts: 6)
        let alone = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("alone")])
        try #require(alone.exitCode == 0, "\(alone.errors)")
        let run = try Disturbance.run(
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" -- compress \(model.recipe) --output \(model.output("hosts"))
            finish
            exit $code
            """, in: try TemporaryDirectory(), hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        try SmallRun.expectEqual(model.output("hosts"), try SmallRun.files(model.output("alone")), "two hosts")
    }

    /// Groups are of ranks on one host: two of them here, and never four.
    @Test func ranksOfOneHostShareStages() throws {
        let directory = try TemporaryDirectory()
        let script = { (size: Int) in
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" -- \(Disturbance.compress(into: directory.path + "/out")) --tensor-parallel \(size)
            finish
            exit $code
            """
        }
        let refused = try Disturbance.run(script(4), in: directory, hosts: 2)
        #expect(refused.exitCode == 64 && refused.errors.contains("rank 0 and rank 2 would share a stage but are on two nodes"), "\(refused.errors)")
        let run = try Disturbance.run(script(2), in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("tensor parallel 2"))
        #expect(try SmallRun.files(directory.path + "/out") == Disturbance.reference.get())
    }

    /// Of 4 ranks on 2 hosts one message of each sum goes over the link, where 3 go when no rank shares memory with another; `plan` counts them as a run does.
    @Test func sumsGoByHost() throws {
        let model = try WideModel(columns: 1536)
        let settings = ["compress={bits: 4, group: 64, target: dense, stream_strength: 1}", "evaluation=null"].map { "--set '\($0)'" }.joined(separator: " ")
        let alone = try CleaveProcess.run(command: ["sh", "-c", "$CLEAVE_BINARY compress \(model.recipe) --output \(model.output("alone")) \(settings)"])
        try #require(alone.exitCode == 0, "\(alone.errors)")
        func sent(ranksOfHost: Int) throws -> (bytes: Double, messages: Double) {
            let output = model.output("\(ranksOfHost)")
            let run = try Disturbance.run(
                """
                export CLEAVE_RANKS_PER_NODE=\(ranksOfHost)
                start --ranks 4 --hostfile "$LAB_HOSTFILE" -- compress \(model.recipe) --output \(output) \(settings)
                finish
                exit $code
                """, in: try TemporaryDirectory(), hosts: 2)
            try #require(run.exitCode == 0, "\(run.errors)")
            try SmallRun.expectEqual(output, try SmallRun.files(model.output("alone")), "\(ranksOfHost) ranks a host")
            let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json"))) as? [String: Any]
            let ranks = try #require(report?["ranks"] as? [[String: Any]])
            func sum(_ key: String) -> Double { ranks.reduce(0) { $0 + ($1[key] as? Double ?? 0) } }
            return (sum("bytesBetweenHosts"), sum("messagesBetweenHosts"))
        }
        func planned(ranksOfHost: Int) throws -> Double {
            let run = try CleaveProcess.run(
                command: ["sh", "-c", "$CLEAVE_BINARY plan \(model.recipe) --ranks 4 --ranks-per-host \(ranksOfHost) --json \(settings)"])
            let plan = try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.errors)")
            return try #require((plan["costs"] as? [[String: Double]])?.first?["bytesBetweenHosts"])
        }
        let (together, apart) = (try sent(ranksOfHost: 2), try sent(ranksOfHost: 1))
        for (found, ranksOfHost) in [(together, 2), (apart, 1)] {
            let planned = try planned(ranksOfHost: ranksOfHost)
            #expect(abs(found.bytes / planned - 1) < 0.05, "\(found) of \(planned) bytes")
        }
        // Sums three times, and what each owner sends to all once: 8 and 4 bytes of each element of the mismatch, 4 and 2 of the Hessian.
        #expect(apart.bytes / together.bytes > 2 && apart.messages > together.messages, "\(apart) \(together)")
    }

    /// docs/lab.md promises a name within the time-out, 7 seconds to see it and 15 to ask the hosts.
    @Test func aLostHostIsNamedAndTheRestFinishes() throws {
        let directory = try TemporaryDirectory()
        let run = try Disturbance.run(
            """
            start --ranks 4 --hostfile "$LAB_HOSTFILE" --host-timeout 6 --retries 1 -- \(Disturbance.compress(into: directory.path + "/out"))
            await_message '^block 2/'
            Cluster/lab.sh cut host2
            SECONDS=0
            await_message 'host host2 does not answer'
            echo $SECONDS
            finish
            exit $code
            """, in: directory, hosts: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        #expect(run.errors.contains("host host2 does not answer"), "\(run.errors)")
        #expect(run.errors.contains("retry 1 of 1 in 5 s on 2 of 4 ranks"), "\(run.errors)")
        let seconds = try #require(Int(run.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(seconds <= 6 + 7 + 15)
        #expect(try SmallRun.files(directory.path + "/out") == Disturbance.reference.get())
    }

    @Test func theLabPassesTheExitCodeOnAndLeavesNothingBehind() throws {
        let before = try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix("cleave-lab.") }
        let run = try CleaveProcess.run(command: ["Cluster/lab.sh", "3", "--", "bash", "-c", "hostname; Cluster/lab.sh kill host3; exit 7"])
        #expect(run.exitCode == 7)
        #expect(run.output == "host1\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix("cleave-lab.") }.count <= before.count)
    }
}
