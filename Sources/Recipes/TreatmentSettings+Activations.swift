// What a recipe says of the inputs of linears, and what contradicts it.

internal import Compression

extension TreatmentSettings {
    /// What clients do with inputs, and in which numbers; each nil where it is what goes without saying.
    typealias Inputs = (activations: ActivationQuantization?, type: NumberType?)

    /// What is said of the inputs of weights of a type.
    func inputs(of type: NumberType, _ strategy: ScaleStrategy) -> Result<Inputs, Contradiction> {
        if let contradiction = contradictionOfInputs(type, strategy) { return .failure(Contradiction(contradiction)) }
        // Numbers that are not the weights' own have one way.
        let other = activationType == type ? nil : activationType
        return .success((activations ?? (activationType == nil ? nil : .dynamic), other))
    }

    private func contradictionOfInputs(_ type: NumberType, _ strategy: ScaleStrategy) -> String? {
        let name = type == .int ? "integers" : "`type: \(type.rawValue)`", known = type.activations(strategy), types = type.activationTypes
        if let activations, activations != .none, type == .int, activationType == nil {
            return "`activations: \(activations.rawValue)` goes with a `type` whose inputs clients quantize, such as fp8 or nvfp4, or beside integers with "
                + "`activation_type: \(types.map(\.rawValue).joined(separator: ", "))`"
        }
        if let activationType, !types.contains(activationType) {
            return "`activation_type: \(activationType.rawValue)` is not among the numbers to which clients round the inputs of \(name): "
                + types.map(\.rawValue).joined(separator: ", ")
        }
        if let activations {
            let possible = activationType.map { $0 == type ? known.filter { $0 != .none } : [.dynamic] } ?? known
            guard possible.contains(activations) else {
                return "`activations: \(activations.rawValue)` is not among what clients do with the inputs of \(name)"
                    + (strategy == type.rules?.strategies[0] || type == .int ? "" : " by \(strategy.rawValue)")
                    + (activationType.map { " in \($0.rawValue)" } ?? "") + ": \(possible.map(\.rawValue).joined(separator: ", "))"
            }
            if activations == .static, method == .rtn {
                return "`activations: static` needs the inputs of a calibration, which `method: rtn` does not look at: use `method: gptq`, or leave it out"
            }
        } else if activationType != nil, !known.contains(.dynamic) {
            return "`activation_type` of \(name) needs `activations`: \(known.filter { $0 != .none }.map(\.rawValue).joined(separator: ", "))"
        }
        return nil
    }
}

extension Treatment {
    /// The same integers with what is said of their inputs.
    func taking(_ inputs: TreatmentSettings.Inputs) -> Result<Treatment, Contradiction> {
        guard let type = inputs.type else { return .success(self) }
        guard bits == 4, group == 128, symmetric else {
            return .failure(
                Contradiction(
                    "`activation_type: \(type.rawValue)` goes with symmetric integers of `bits: 4` in groups of 128: clients multiply no others with it"))
        }
        var treatment = self
        (treatment.activations, treatment.activationType) = (inputs.activations, type)
        return .success(treatment)
    }
}
