// The rates of products, X^T X, the factorisation and the column loop, on operands of the sizes that large models have.

internal import Compression
internal import Glibc
internal import LinearAlgebra
internal import Packing
internal import Sharding
public import Transformers

extension Measurement {
    private static let tokens = 1024
    /// No random number is larger.
    private static let largest: Float = 8
    /// Tokens of a sequence of attention, its heads for each thread, and their width.
    private static let (length, heads, headSize) = (2048, 2, 128)

    /// The rate of matrix products with operands of a type.
    public func peak(_ compute: Compute) throws -> Double {
        let (tokens, columns) = (Self.tokens, MachineProfile.Rates.wideColumns / 2)
        let x = random(tokens, columns), weight = random(columns, columns)
        switch compute {
        case .f32: return try productRate(tokens, columns) { multiply(x, weight, transposeB: true, into: $0) }
        case .bf16:
            let (x, weight) = (narrow(x), narrow(weight))
            return try productRate(tokens, columns) { multiply(x, weight, transposeB: true, into: $0) }
        }
    }

    /// The rate of products [tokens, columns] [columns, columns], of which each thread computes one.
    private func productRate(_ tokens: Int, _ columns: Int, _ multiply: @Sendable (Matrix<Float>) -> Void) throws -> Double {
        let outputs = (0..<Threads.count).map { _ in Matrix<Float>(uninitialized: tokens, columns) }
        let seconds = try watch.seconds { parallelFor(outputs.count) { multiply(outputs[$0]) } }
        return 2 * Double(outputs.count) * Double(tokens) * Double(columns) * Double(columns) / seconds
    }

    func measureArithmetic(_ rates: inout MachineProfile.Rates) throws {
        let wide = try products(columns: MachineProfile.Rates.wideColumns), few = try products(columns: MachineProfile.Rates.narrowColumns)
        (rates.productFloat, rates.productBFloat16, rates.gramFloat, rates.gramBFloat16) = wide
        (rates.narrow.productFloat, rates.narrow.productBFloat16, rates.narrow.gramFloat, rates.narrow.gramBFloat16) = few
        rates.elements = try elementRate()
        rates.attentionFloat = try attentionRate(.f32)
        rates.attentionBFloat16 = BFloat16.isAccelerated ? try attentionRate(.bf16) : rates.attentionFloat
    }

    /// The rates of products and of X^T X. Where the CPU has no bf16 arithmetic, `compute: bf16` is fp32.
    private func products(columns: Int) throws -> (productFloat: Double, productBFloat16: Double, gramFloat: Double, gramBFloat16: Double) {
        let tokens = Self.tokens
        let x = random(tokens, columns), weight = random(columns, columns)
        let gramOperations = Double(tokens) * Double(columns) * Double(columns)
        let productFloat = try productRate(tokens, columns) { multiply(x, weight, transposeB: true, into: $0) }
        let gramFloat = gramOperations / (try gramSeconds(columns) { $0.add(x) })
        guard BFloat16.isAccelerated else { return (productFloat, productFloat, gramFloat, gramFloat) }
        let (xBF16, weightBF16) = (narrow(x), narrow(weight))
        return (
            productFloat, try productRate(tokens, columns) { multiply(xBF16, weightBF16, transposeB: true, into: $0) },
            gramFloat, gramOperations / (try gramSeconds(columns) { $0.add(xBF16) })
        )
    }

    private func gramSeconds(_ columns: Int, _ add: (GramSum) -> Void) throws -> Double {
        let gram = GramSum(columns: columns, tokens: 1 << 20, maxMagnitude: Self.largest)
        return try watch.seconds { add(gram) }
    }

    /// The rate of softmax(scale Q K^T) V.
    private func attentionRate(_ compute: Compute) throws -> Double {
        let (heads, size) = (Self.heads * Threads.count, Self.headSize)
        func operands() -> [Operand] { (0..<heads).map { _ in Operand(random(Self.length, size), compute: compute) } }
        let attention = CausalHeads(queries: operands(), keys: operands(), values: operands(), scale: 1 / Float(size).squareRoot(), window: nil)
        let contexts = Operand(uninitialized: compute, Self.length, heads * size)
        let seconds = try watch.seconds { attention.attend(into: contexts) }
        return 4 * Double(heads * size) * causalPairs(length: Self.length, window: nil) / seconds
    }

    func measureSolving(_ rates: inout MachineProfile.Rates) throws {
        let columns = MachineProfile.Rates.wideColumns
        let gram = hessian(columns)
        let options = QuantizationOptions(bits: 4, group: 128, symmetric: true, signedScales: true, grid: .solved, actOrder: true, wholeGroups: true)
        let few = hessian(MachineProfile.Rates.narrowColumns)
        let factored = try factor(gram, .f32), narrow = try factor(few, .f32)
        let (short, wide) = (try solveSeconds(narrow.factor, options), try solveSeconds(factored.factor, options))
        // Seconds of a weight grow with the columns, from what the search for ranges takes.
        let slope = max(wide - short, 0.1 * wide) / Double(columns - MachineProfile.Rates.narrowColumns)
        let search = max(wide - slope * Double(columns), 1e-3 * wide)
        (rates.factorFloat, rates.solveFloat, rates.search) = (factored.rate, 1 / slope, 1 / search)
        rates.narrow.factorFloat = narrow.rate
        (rates.factorBFloat16, rates.narrow.factorBFloat16, rates.solveBFloat16) = (rates.factorFloat, narrow.rate, rates.solveFloat)
        if BFloat16.isAccelerated {
            let factored = try factor(gram, .bf16)
            let seconds = try solveSeconds(factored.factor, options)
            (rates.factorBFloat16, rates.solveBFloat16) = (factored.rate, Double(columns) / max(seconds - search, 0.1 * seconds))
            rates.narrow.factorBFloat16 = try factor(few, .bf16).rate
        }
        let weights = random(256, columns)
        rates.permute = 4 * Double(columns) * Double(columns) / (try permuteSeconds(gram))
        let tile = EncodedTile(try gptq(weights: weights, factor: factored.factor, options: options), options: options)
        rates.dequantize = Double(columns) * Double(columns) / (try dequantizeSeconds(tile))
    }

    /// A factor as runs make it that compute in a type, and its rate.
    private func factor(_ gram: GramSum, _ compute: Compute) throws -> (factor: Factor, rate: Double) {
        let hessian = gram.matrix()
        var result: Factor?
        let seconds = try watch.seconds {
            result = try Compression.factor(
                hessian: hessian, dampingFraction: 0.01, actOrder: true, wholeGroups: 128, precision: compute == .bf16 ? .fp32 : .fp64,
                isNarrowed: compute == .bf16)
        }
        let columns = Double(hessian.columns)
        return (result.unsafelyUnwrapped, columns * columns * columns / 3 / seconds)
    }

    private func hessian(_ columns: Int) -> GramSum {
        let gram = GramSum(columns: columns, tokens: columns, maxMagnitude: Self.largest)
        gram.add(random(columns, columns))
        return gram
    }

    /// Numbers a second that are added to others and become operands.
    private func elementRate() throws -> Double {
        let columns = MachineProfile.Rates.wideColumns
        let (x, y) = (random(Self.tokens, columns), random(Self.tokens, columns))
        let compute: Compute = BFloat16.isAccelerated ? .bf16 : .f32
        let seconds = try watch.seconds {
            let (sum, operand) = (x.copy(), Operand(uninitialized: compute, x.rows, columns))
            parallelFor(x.rows, inUnitsOf: 16) { rows in
                for row in rows { for column in 0..<columns { sum[row, column] += y[row, column] } }
                operand.rows(rows).store(sum.rows(rows))
            }
        }
        return Double(x.count) / seconds
    }

    /// Seconds of this rank for a weight of a tile; as many tiles as threads, since each is solved by one.
    private func solveSeconds(_ factor: Factor, _ options: QuantizationOptions) throws -> Double {
        let weights = random(256, factor.columns)
        let tiles = Threads.count
        let seconds = try watch.seconds {
            _ = try parallelMap(tiles) { _ in EncodedTile(try gptq(weights: weights, factor: factor, options: options), options: options).bytes.count }
        }
        return seconds / Double(tiles * weights.count)
    }

    /// The panels of a Hessian in a factor's order, as they are sent to be summed.
    private func permuteSeconds(_ gram: GramSum) throws -> Double {
        let plan = try FactorPlan(diagonal: gram.diagonal(), dampingFraction: 0.01, actOrder: true, wholeGroups: 128)
        return try watch.seconds {
            for range in choleskyPanels(order: gram.part.count) {
                let elements = PanelPart(plan, panel: range, hessianColumns: gram.part)
                let message = Matrix<Double>(uninitialized: 1, elements.count)
                elements.take(0..<elements.starts.count - 1, from: gram.panels, into: message.base)
            }
        }
    }

    /// A square weight of such tiles, from codes to what products take.
    private func dequantizeSeconds(_ tile: EncodedTile) throws -> Double {
        let (rows, columns) = (tile.layout.rows, tile.layout.columns)
        return try watch.seconds {
            let weight = Matrix<Float>(uninitialized: columns, columns)
            parallelFor(columns / rows) { tile.dequantize(into: weight.rows($0 * rows..<($0 + 1) * rows)) }
            _ = Operand(weight, compute: .bf16)
        }
    }

    /// Numbers of normal distribution, by Box and Muller's transform, the same in every run.
    private func random(_ rows: Int, _ columns: Int) -> Matrix<Float> {
        let matrix = Matrix<Float>(uninitialized: rows, columns)
        var state: UInt64 = 1
        /// Above 0, at most 1.
        func uniform() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(UInt32(truncatingIfNeeded: state >> 40) + 1) * 0x1p-24
        }
        for index in 0..<matrix.count { matrix.base[index] = (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform()) }
        return matrix
    }

    private func narrow(_ matrix: Matrix<Float>) -> Matrix<BFloat16> {
        let result = Matrix<BFloat16>(uninitialized: matrix.rows, matrix.columns)
        convert(matrix, into: result)
        return result
    }
}
