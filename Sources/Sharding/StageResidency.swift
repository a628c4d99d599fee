// How much of a stage a rank holds at a time.

/// What a rank holds at a time while it solves a stage. It costs time and never changes a result.
public struct StageResidency: Sendable, Equatable, Codable {
    /// Blocks of the Hessian's columns (`ColumnBlocks`) that are summed at a time; nil: all.
    public var hessianBlocks: Int?
    /// Whether R lies complete on every rank; else each panel lies with its owner, who sends it to all when the column loop needs it.
    public var completeFactor: Bool
    /// Whether the ranks of a host keep the panels that they factor together, and share the work on them; else each keeps its own.
    public var panelsOfHost: Bool
    /// Tiles that a rank solves at a time when R comes panel by panel; nil: all of its tiles.
    public var tilesAtOnce: Int?
    /// Panels of the mismatch of inputs that are summed at a time, where linears are to give the dense model's outputs; nil: all.
    public var mismatchPanels: Int?

    public init(hessianBlocks: Int?, completeFactor: Bool, panelsOfHost: Bool = false, tilesAtOnce: Int?, mismatchPanels: Int? = nil) {
        self.hessianBlocks = hessianBlocks
        self.completeFactor = completeFactor
        self.panelsOfHost = panelsOfHost
        self.tilesAtOnce = tilesAtOnce
        self.mismatchPanels = mismatchPanels
    }

    /// The fastest way: everything once.
    public static let whole = StageResidency(hessianBlocks: nil, completeFactor: true, tilesAtOnce: nil)
}
