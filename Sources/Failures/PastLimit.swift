// What is said when a run goes past a limit of its recipe.

package import MessagePassing

/// The failure of a run that went past a limit of the recipe.
/// - Parameter lines: one for each linear; many are cut short.
package func pastLimit(_ limit: String, _ lines: [String]) -> AgreedFailure {
    let most = 20
    let rest = lines.count > most ? ["and \(lines.count - most) more"] : []
    return AgreedFailure(
        rank: 0, exitCode: PipelineError.Kind.badInput.rawValue, description: "\(limit):\n  " + (lines.prefix(most) + rest).joined(separator: "\n  "))
}
