// The effective rank against its definition, panel by panel.

import Compression
import LinearAlgebra
import Testing

@Suite struct EffectiveRankTests {
    private func effectiveRank(_ hessian: Matrix<Double>, actOrder: Bool = false) throws -> Double {
        let size = hessian.columns
        let plan = try FactorPlan(diagonal: (0..<size).map { hessian[$0, $0] }, dampingFraction: 0.01, actOrder: actOrder)
        var rank = EffectiveRank(plan)
        for (index, range) in choleskyPanels(order: size).enumerated() {
            let panel = Matrix<Double>(repeating: .nan, size - range.lowerBound, range.count)
            plan.copy(range, of: hessian, into: panel)
            rank.panelSums[index] = plan.squaredCorrelations(range, panel)
        }
        return rank.value
    }

    @Test(arguments: [1, 5, 64, 600])
    func isTheParticipationRatioOfTheCorrelations(size: Int) throws {
        let layer = Layer(rows: 1, columns: size, dead: size > 20 ? [3, 17] : [])
        let live: [Int] = (0..<size).filter { layer.hessian[$0, $0] > 0 }
        var sum = 0.0
        for i in live {
            for j in live {
                let h = layer.hessian[min(i, j), max(i, j)]
                sum += h * h / (layer.hessian[i, i] * layer.hessian[j, j])
            }
        }
        let expected = Double(live.count * live.count) / sum
        for actOrder in [false, true] {
            let found = try effectiveRank(layer.hessian, actOrder: actOrder)
            #expect(abs(found - expected) < 1e-9 * expected)
        }
    }

    /// From all columns alike to none: whatever their sizes.
    @Test func goesFromOneToAllColumns() throws {
        let scales = (0..<300).map { Double($0 % 7 + 1) }
        let alike = Matrix<Double>(repeating: 0, 300, 300), apart = Matrix<Double>(repeating: 0, 300, 300)
        for i in 0..<300 {
            apart[i, i] = scales[i]
            for j in i..<300 { alike[i, j] = scales[i] * scales[j] }
        }
        let (one, all) = (try effectiveRank(alike), try effectiveRank(apart))
        #expect(abs(one - 1) < 1e-9)
        #expect(all == 300)
    }
}
