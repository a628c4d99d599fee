// Where outputs of a stage's linears lie that reach the operation's result linearly.

/// Outputs to which elements of an operation's result are proportional, so that a factor of an output may be undone by the linears that read the result. Values of attention
/// heads are such, and so is what a gate multiplies.
///
/// Those of an attention head even reach it in sums over tokens alone: whatever mixes the elements of a head before mixes them as much after.
public struct OutputValues: Sendable, Hashable {
    /// Which of the stage's linears has them.
    let linear: Int
    /// Its outputs: in each `period` the `length` from `first` on.
    let first: Int
    let length: Int
    let period: Int
    /// Elements of a head, in the outputs and in the result; all of them where there are no heads.
    let size: Int

    /// How many there are in a linear of so many outputs.
    func count(rows: Int) -> Int { rows / period * length }
}
