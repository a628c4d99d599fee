// The recurrence of linear attention, head by head, over the tokens of one sequence.

internal import CKernels
internal import Glibc
internal import LinearAlgebra

/// The outputs of a stage of linear attention for one sequence, and the parameters with which its heads go through them.
struct DeltaHeads: Sendable {
    /// Under the root where queries and keys are divided by their length.
    private static let epsilon: Float = 1e-6

    private let net: GatedDeltaNet
    /// Of the stage's parts, and of the linears of rates and decays: [tokens, rows]
    private let outputs: [Matrix<Float>]
    private let gates: [Matrix<Float>]
    /// [channels, taps], of all heads of the stage; [value heads of the stage]; [valueSize]
    private let convolution: [Float]
    private let decay: [Float]
    private let decayBias: [Float]
    private let norm: [Float]

    init(
        _ net: GatedDeltaNet, outputs: [Matrix<Float>], gates: [Matrix<Float>], convolution: [Float], decay: [Float], decayBias: [Float], norm: [Float]
    ) {
        (self.net, self.outputs, self.gates) = (net, outputs, gates)
        (self.convolution, self.decay, self.decayBias, self.norm) = (convolution, decay, decayBias, norm)
    }

    /// The contexts of a value head, normalised and gated: [tokens, valueSize]
    func contexts(of head: Int) -> Matrix<Float> {
        let tokens = outputs[0].rows
        let state = Matrix<Float>(repeating: 0, net.keySize, net.valueSize), result = Matrix<Float>(uninitialized: tokens, net.valueSize)
        let keys = Matrix<Float>(uninitialized: 2, net.keySize), values = Matrix<Float>(uninitialized: 2, net.valueSize)
        let (query, key, value, change) = (keys.row(0), keys.row(1), values.row(0), values.row(1))
        let places = net.gatePlaces(valueHead: head), own = net.keyHeads.lowerBound * net.shared + head
        for token in 0..<tokens {
            convolve(.query, head, token, into: query, count: net.keySize)
            convolve(.key, head, token, into: key, count: net.keySize)
            convolve(.value, head, token, into: value, count: net.valueSize)
            normalise(query, factor: 1 / Float(net.keySize).squareRoot())
            normalise(key, factor: 1)
            let rate = 1 / (1 + exp(-gates[places.rate.output][token, places.rate.column]))
            let step = gates[places.decay.output][token, places.decay.column] + decayBias[own]
            // exp(-exp(A) softplus(x)), and softplus(x) = log(1 + exp(x)) without overflow.
            let kept = exp(-exp(decay[own]) * (max(step, 0) + log1p(exp(-abs(step)))))
            cleave_delta_step(state.base, query, key, value, kept, rate, change, result.row(token), net.keySize, net.valueSize)
            finish(result.row(token), head, token)
        }
        return result
    }

    private func convolve(_ role: GatedDeltaNet.Role, _ head: Int, _ token: Int, into result: UnsafeMutablePointer<Float>, count: Int) {
        let place = net.place(role, valueHead: head), channel = net.channel(role, valueHead: head)
        let output = outputs[place.output]
        convolution.withUnsafeBufferPointer { weights in
            cleave_short_convolution(
                output.row(token) + place.column, output.stride, token, weights.baseAddress! + channel * net.taps, net.taps, result, count)
        }
    }

    /// x = factor x / sqrt(x x^T + epsilon)
    private func normalise(_ values: UnsafeMutablePointer<Float>, factor: Float) {
        let sum = (0..<net.keySize).reduce(Float(0)) { $0 + values[$1] * values[$1] }
        let scale = factor / (sum + Self.epsilon).squareRoot()
        for index in 0..<net.keySize { values[index] *= scale }
    }

    /// x = w x / sqrt(mean of x^2 + epsilon) * z sigmoid(z)
    private func finish(_ values: UnsafeMutablePointer<Float>, _ head: Int, _ token: Int) {
        let place = net.place(.gate, valueHead: head)
        let gate = outputs[place.output].row(token) + place.column
        cleave_rms_norm(values, norm, values, net.valueSize, net.epsilon)
        for index in 0..<net.valueSize { values[index] *= gate[index] / (1 + exp(-gate[index])) }
    }
}
