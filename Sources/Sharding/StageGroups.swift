// Stages that cost the same, counted together: most blocks of a model are alike, and so are the experts of a mixture.

internal import Compression
internal import Recipes
internal import Transformers

/// What decides a stage's costs.
struct StageKind: Hashable {
    private let columns: Int
    private let rows: [Int]
    private let treatments: [Treatment?]
    private let choices: [[Treatment]]
    /// Attention and the share of tokens, below 1 for experts, show in the operations of sequences of two lengths.
    private let operations: [Double]
    private let mismatches: [Mismatch]
    /// What rests before and after.
    private let isDerived: Bool
    private let valueColumns: [Int]

    init(_ stage: StagePlan) {
        columns = stage.columns
        rows = stage.linears.map(\.linear.rows)
        treatments = stage.linears.map(\.treatment)
        choices = stage.linears.map { $0.choices.map(\.treatment) }
        operations = [1, 1 << 20].map { stage.stage.operations(lengths: [$0]) }
        mismatches = stage.mismatches
        isDerived = stage.stage.input.isDerived
        valueColumns = [stage.stage.destination.valueColumns, stage.stage.restingColumns, stage.stage.leftColumns]
    }
}

/// A stage, and how many of the plan cost the same.
struct StageGroup {
    let stage: StagePlan
    /// Block and index of the first.
    let place: (block: Int, stage: Int)
    /// Those of a block, where the stages are experts'; nil where every token passes them.
    let experts: Int?
    var count: Int
}

extension Plan {
    /// The plan's stages by what they cost, in the order of the first of each kind.
    var stageGroups: [StageGroup] {
        var places: [StageKind: Int] = [:]
        var groups: [StageGroup] = []
        for (block, blockPlan) in blocks.enumerated() {
            for (index, stage) in blockPlan.stages.enumerated() {
                let kind = StageKind(stage)
                let experts = blockPlan.block.expert(ofStage: index) == nil ? nil : blockPlan.block.mixture?.experts
                if let place = places[kind] {
                    groups[place].count += 1
                } else {
                    places[kind] = groups.count
                    groups.append(StageGroup(stage: stage, place: (block, index), experts: experts, count: 1))
                }
            }
        }
        return groups
    }
}

extension StagePlan {
    /// The tiles of each rank that has any.
    func ownTiles(ranks: Int) -> [[Tile]] {
        let owners = zip(Assignment(ranks: ranks).owners(of: tiles), tiles)
        return owners.reduce(into: [Int: [Tile]]()) { $0[$1.0, default: []].append($1.1) }.map(\.value)
    }

    /// Whether a tile's linear is solved by ADMM, which takes no column loop.
    func isADMM(_ tile: Tile) -> Bool { linears[tile.linear].treatment?.method == .admm }

    /// Multiplications and additions of solving a tile: of the column loop, of ADMM's products with factors, or of eliminations. Methods without either have none to speak of.
    package func solveOperations(of tile: Tile) -> Double {
        let passes: Double =
            switch linears[tile.linear].treatment?.method {
            case .gptq, .sparsegpt, .spqr: 1
            case .admm: Double(ADMM.triangularActions)
            case .rtn, .magnitude, .wanda, .obq, .exactobs, nil: 0
            }
        let row = isEliminated(tile) ? eliminationOperations(of: linears[tile.linear]) : passes * Double(columns) * Double(columns)
        return Double(tile.rows.count) * row
    }

    /// Bytes of the stage's tiles as ranks send them and partial checkpoints hold them: codes, fp32 scales and zero points, or values.
    var encodedBytes: Double {
        linears.reduce(0) { sum, linear in
            let row: Int
            switch linear.content {
            case .codes(let options)?:
                let codes = (columns * options.bits + 31) / 32 * 4 + options.groupCount(columns: columns) * (options.symmetric ? 4 : 5)
                row = (options.number.blocks?.rowBytes(columns: columns) ?? codes) + options.ternaryBytesOfRow + options.spqrBytesOfRow(columns: columns)
            case .values(let type)?: row = columns * (type == .f32 ? 4 : 2)
            case nil: row = 0
            }
            return sum + Double(linear.linear.rows) * Double(row)
        }
    }

    /// All-reduces that find the thresholds of masks, three digits each; the linears of a stage share them.
    var selections: Int {
        3 * (linears.map { $0.pruning?.comparisons(columns: columns).count ?? 0 }.max() ?? 0)
    }

    /// Bytes that a rank contributes to them: counts of a digit for each comparison of a linear.
    var selectionBytes: Double {
        let comparisons = linears.reduce(0) { $0 + ($1.pruning?.comparisons(columns: columns).count ?? 0) }
        return Double(3 * comparisons * RankSelection.binCount * MemoryLayout<Int>.stride)
    }

    /// Weights of all linears, those that are kept as well.
    var weightCount: Double { linears.reduce(0) { $0 + Double($1.linear.rows) * Double(columns) } }

    /// Factors that the stage's linears need: those whose settings differ need one each, and two where a method asks for one with a penalty.
    var factorCount: Int {
        let counts = treatments.reduce(into: [String: Int]()) { counts, treatment in
            let order = "\(treatment.actOrder) \(treatment.actOrder == .groups ? treatment.group : 0)", penalty = treatment.method.penalty
            counts["\(treatment.damping) \(treatment.maxDamping) \(order) \(penalty ?? 0) \(treatment.method.eliminates)"] = penalty == nil ? 1 : 2
        }
        return counts.values.reduce(0, +)
    }
}
