// What a compute type becomes on this CPU.

internal import LinearAlgebra

extension Compute {
    /// bf16 only where the CPU multiplies it in hardware; elsewhere fp32, which is at least as fast there. The plan's hash knows the difference.
    public var effective: Compute {
        self == .bf16 && !BFloat16.isAccelerated ? .f32 : self
    }
}
