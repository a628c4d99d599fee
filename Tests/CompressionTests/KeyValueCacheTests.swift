// The scales of a server's cache of keys and values.

import Compression
import Testing

@Suite struct KeyValueCacheTests {
    /// 448 is the largest number of E4M3.
    @Test func theLargestMagnitudeBecomesTheLargestNumber() {
        #expect(KeyValueCache().scales([3.5, 896, 0], type: .bf16) == [2])
        #expect(KeyValueCache(strategy: .head).scales([3.5, 896, 0], type: .bf16) == [3.5 / 448, 2, 1])
        #expect(KeyValueCache().scales([0, 0], type: .f32) == [1])
    }

    /// No client divides by what its type rounds to zero.
    @Test func scalesStayNormal() {
        #expect(KeyValueCache().scales([1e-6], type: .f16) == [0x1p-14])
        #expect(KeyValueCache().scales([1e-6], type: .bf16) == [1e-6 / 448])
    }
}
