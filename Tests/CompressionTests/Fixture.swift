// The cases that Tests/Compatibility/gptq_reference.py computed in float64.

import Compression
import LinearAlgebra
import Testing

struct Fixture: Sendable {
    struct Case: Sendable, CustomTestStringConvertible {
        let options: QuantizationOptions
        let codes: [UInt8]
        let scales: [Float]
        let zeros: [UInt8]
        let loss: [Double]

        var testDescription: String {
            "\(options.bits) bits, group \(options.group), \(options.symmetric ? options.signedScales ? "signed" : "symmetric" : "asymmetric"), \(options.grid), \(options.scaleType)"
                + (options.actOrder ? ", act-order" : "") + (options.staticGroups ? ", static" : "")
        }
    }

    let weights: Matrix<Float>
    let hessian: Matrix<Double>
    let cases: [Case]

    static let shared: Fixture = {
        do { return try Fixture() } catch { fatalError("the fixtures cannot be read: \(error)") }
    }()

    private init() throws {
        var file = try ReferenceFile<IntegerOptions>("gptq")
        (weights, hessian) = (file.weights, file.hessian)
        let (rows, columns) = (weights.rows, weights.columns)
        cases = file.cases.map { settings in
            let options = settings.options, groups = options.groupCount(columns: columns)
            return Case(
                options: options, codes: file.next(rows * columns), scales: file.next(rows * groups), zeros: file.next(rows * groups), loss: file.next(rows))
        }
    }
}
