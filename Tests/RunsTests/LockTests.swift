// Two runs on one directory: the second is refused, and a dead run keeps nobody out.

import Foundation
import MessagePassing
import Reporting
import Runs
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct Locks {
        private func writeLock(_ model: TinyModel, host: String, pid: Int, job: String? = nil, age: TimeInterval = 0) throws {
            try FileManager.default.createDirectory(atPath: model.output + "/cleave", withIntermediateDirectories: true)
            let job = job.map { #", "job": "\#($0)""# } ?? ""
            try model.write(#"{"host": "\#(host)", "pid": \#(pid)\#(job)}"#, "out/cleave/lock")
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: model.output + "/cleave/lock")
        }

        @Test func aDirectoryInUseIsRefusedByName() throws {
            let model = try TinyModel()
            let first = try model.job()
            _ = try first.enter()
            let refusal = message { _ = try model.job().enter() }
            #expect(
                refusal?.contains("another run is working in \(model.output)/cleave: host \(Session.hostName), pid \(getpid())") == true, "\(refusal ?? "")")
            withExtendedLifetime(first) {}
        }

        @Test func theLockGoesWithTheRun() throws {
            let model = try TinyModel()
            try model.compress()
            #expect(!model.exists("out/cleave/lock"))
        }

        @Test func aLockOfThisHostWithoutAnOwnerIsTakenOver() throws {
            let model = try TinyModel()
            try writeLock(model, host: Session.hostName, pid: 999_999)
            #expect(try model.compress().remarks.contains { $0.contains("an earlier run (host \(Session.hostName), pid 999999) ended without") })
        }

        @Test func anotherHostsLockIsDeadAfterAMinuteWithoutASign() throws {
            let model = try TinyModel()
            try writeLock(model, host: "elsewhere", pid: 12, age: 20)
            #expect(message { try model.compress() }?.contains("host elsewhere, pid 12, touched 2") == true)
            try writeLock(model, host: "elsewhere", pid: 12, age: 90)
            #expect(try model.compress().remarks.contains { $0.contains("host elsewhere, pid 12") })
        }

        @Test func theNextAttemptOfTheSameJobNeedNotWait() throws {
            let model = try TinyModel()
            setenv("CLEAVE_JOB_ID", "job-7", 1)
            defer { unsetenv("CLEAVE_JOB_ID") }
            try writeLock(model, host: "elsewhere", pid: 12, job: "job-8")
            #expect(message { try model.compress() }?.contains("host elsewhere, pid 12, job job-8") == true)
            try writeLock(model, host: "elsewhere", pid: 12, job: "job-7")
            #expect(try model.compress().remarks.contains { $0.contains("job job-7") })
        }

        @Test func aDamagedLockIsNobodys() throws {
            let model = try TinyModel()
            try writeLock(model, host: "elsewhere", pid: 12)
            try model.write("{\"host", "out/cleave/lock")
            #expect(try model.compress().tiles.solved > 0)
        }
    }
}
