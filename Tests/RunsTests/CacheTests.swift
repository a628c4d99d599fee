// Scales of keys and values in a result: measured once, kept in the record of the run, measured again where that is lost.

import Foundation
import Reporting
import Runs
import Safetensors
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct Cache {
        private static let names = (0..<2).flatMap { block in ["k", "v"].map { "model.layers.\(block).self_attn.\($0)_scale" } }
        private static let record = "out/cleave/cache.json"

        private func scales(_ model: TinyModel) throws -> [[UInt8]] {
            let file = try SafetensorsFile(path: model.path + "/out/model.safetensors")
            return try Self.names.map { name in
                #expect(file.tensors[name]?.description.type == .bf16)
                return try file.withBytes(of: name, bytes: nil) { Array($0) }
            }
        }

        private func configuration(_ model: TinyModel) throws -> [String: Any] {
            let object = try JSONSerialization.jsonObject(with: Data(model.read("out/config.json"))) as? [String: Any]
            return try #require(object?["quantization_config"] as? [String: Any])
        }

        @Test(arguments: ["stage", "block", "none"])
        func aResultHasItsScales(propagation: String) throws {
            let model = try TinyModel(), plain = try TinyModel(), settings = ["propagation=\(propagation)"]
            try model.finish(settings + ["kv_cache=fp8"])
            let scales = try scales(model)
            #expect(scales.allSatisfy { $0.count == 2 } && Set(scales).count == 4)
            let scheme = try #require(try configuration(model)["kv_cache_scheme"] as? [String: Any])
            #expect(scheme["num_bits"] as? Int == 8 && scheme["type"] as? String == "float" && scheme["strategy"] as? String == "tensor")
            #expect(scheme["dynamic"] as? Bool == false && scheme["symmetric"] as? Bool == true)
            // Nothing else of the result knows of it.
            try plain.finish(settings)
            #expect(try configuration(plain)["kv_cache_scheme"] is NSNull)
            let own = try SafetensorsFile(path: model.path + "/out/model.safetensors"), other = try SafetensorsFile(path: plain.path + "/out/model.safetensors")
            #expect(Set(own.tensors.keys).subtracting(Self.names) == Set(other.tensors.keys))
            for name in other.tensors.keys {
                let bytes = try own.withBytes(of: name, bytes: nil) { Array($0) }
                #expect(try other.withBytes(of: name, bytes: nil) { Array($0) } == bytes, "\(name)")
            }
        }

        /// Keys and values are those of the weights that the result has, where the run hands these on.
        @Test func propagationDecidesWhatIsMeasured() throws {
            var found: [String: [[UInt8]]] = [:]
            for propagation in ["stage", "block", "none"] {
                let model = try TinyModel()
                // With methods that look at no inputs, weights do not depend on what earlier ones became.
                try model.finish(["propagation=\(propagation)", "kv_cache=fp8", "compress={method: rtn, bits: 2, group: 32}"])
                found[propagation] = try scales(model)
            }
            #expect(found["stage"] == found["block"] && found["stage"] != found["none"])
        }

        /// A record that is lost, damaged or another run's is made anew, from the tiles that are there.
        @Test(arguments: ["stage", "block", "none"], ["lost", "damaged", "another's", "in part"])
        func aRecordIsMadeAnew(propagation: String, what: String) throws {
            let (model, undisturbed) = (try TinyModel(), try TinyModel()), settings = ["propagation=\(propagation)", "kv_cache=fp8"]
            try undisturbed.finish(settings)
            let total = try model.compress(settings).tiles.solved
            let text = String(decoding: try model.read(Self.record), as: UTF8.self)
            switch what {
            case "lost": try FileManager.default.removeItem(atPath: model.path + "/" + Self.record)
            case "damaged": try model.flip(Self.record, at: text.count / 2)
            case "another's": try model.write(try sealed(text.replacingOccurrences(of: #""planHash":""#, with: #""planHash":"0"#)), Self.record)
            default:
                let first = try #require(text.range(of: #""1":\[[^\]]*\],?"#, options: .regularExpression))
                try model.write(try sealed(text.replacingCharacters(in: first, with: "").replacingOccurrences(of: ",}", with: "}")), Self.record)
            }
            #expect(message { try model.merge(settings) }?.contains("has none of model.layers.\(what == "in part" ? 1 : 0).self_attn") == true)
            let again = try model.compress(settings)
            #expect(again.tiles.solved == 0 && again.tiles.reused == total)
            #expect(String(decoding: try model.read(Self.record), as: UTF8.self) == text)
            try model.merge(settings)
            for name in ["model.safetensors", "config.json", "cleave_manifest.json"] {
                #expect(try model.read("out/" + name) == undisturbed.read("out/" + name), "\(name)")
            }
        }

        /// Numbers that no run measures are not believed, whatever their checksum.
        @Test(arguments: [#""0":[1,2,3]"#, #""0":[2139095040,1,1,1]"#, #""0":[3212836864,1,1,1]"#, #""7":[1,1,1,1]"#])
        func numbersThatNoRunMeasuresAreNotUsed(entry: String) throws {
            let model = try TinyModel()
            try model.compress(["kv_cache=fp8"])
            let text = String(decoding: try model.read(Self.record), as: UTF8.self)
            // In the place that the order of keys gives it.
            let place = entry.hasPrefix(#""7""#) ? 1 : 0
            let changed = text.replacingOccurrences(of: #""\#(place)":\[[^\]]*\]"#, with: entry, options: .regularExpression)
            #expect(changed != text)
            try model.write(try sealed(changed), Self.record)
            try model.compress(["kv_cache=fp8"])
            #expect(String(decoding: try model.read(Self.record), as: UTF8.self) == text)
        }

        @Test func theKeyIsAPartOfThePlan() throws {
            let model = try TinyModel(), hash = try model.job().planHash
            #expect(try model.job(["kv_cache=null"]).planHash == hash && model.job(["kv_cache=false"]).planHash == hash)
            let others = try ["kv_cache=fp8", "kv_cache={type: fp8, strategy: attn_head}"].map { try model.job([$0]).planHash }
            #expect(Set(others + [hash]).count == 3)
            try model.compress()
            #expect(message { try model.compress(["kv_cache=fp8"]) }?.contains("kv_cache: was absent, is fp8 by tensor") == true)
        }

        @Test func headsHaveScalesOfTheirOwn() throws {
            let model = try TinyModel(), joint = try TinyModel()
            try model.finish(["kv_cache={type: fp8, strategy: attn_head}"])
            try joint.finish(["kv_cache=fp8"])
            let file = try SafetensorsFile(path: model.path + "/out/model.safetensors")
            for (name, scale) in zip(Self.names, try scales(joint)) {
                #expect(file.tensors[name]?.description.shape == [2, 1, 1])
                // Positive numbers in BF16 are ordered as their bits.
                let own = try file.withBytes(of: name, bytes: nil) { bytes in (0..<2).map { bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self) } }
                #expect(own[0] != own[1] && own.max() == scale.withUnsafeBytes { $0.load(as: UInt16.self) })
            }
            #expect((try configuration(model)["kv_cache_scheme"] as? [String: Any])?["strategy"] as? String == "attn_head")
        }

        /// JSON whose seal is that of its other entries.
        private func sealed(_ text: String) throws -> String {
            let entry = text.trimmingCharacters(in: .newlines).replacingOccurrences(of: #""seal":"[0-9a-f]*","#, with: "", options: .regularExpression)
            return #"{"seal":"\#(Array(entry.utf8).withUnsafeBytes { Checksum.of($0) })",\#(entry.dropFirst())"# + "\n"
        }
    }
}
