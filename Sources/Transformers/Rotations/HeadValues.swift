// Where the values of attention heads lie in the outputs of a stage's linears.

/// Outputs that reach an operation's result in sums over tokens alone, head by head: whatever mixes the elements of a head before mixes them as much after, so that a rotation
/// of them may be undone by the linears that read the result.
public struct HeadValues: Sendable, Hashable {
    /// Which of the stage's linears has them.
    let linear: Int
    /// Its outputs: in each `period` the `length` from `first` on.
    let first: Int
    let length: Int
    let period: Int
    /// Elements of a head, in the outputs and in the result.
    let size: Int
}
