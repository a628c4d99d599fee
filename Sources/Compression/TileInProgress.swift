// A tile between its first and its last column, so that many tiles can take R panel by panel.

internal import LinearAlgebra

/// A tile that a method is solving. It takes the columns of R in order, in panels of `panelColumns`; then it is finished.
///
/// Tiles are independent of each other and may take a panel at the same time.
public protocol TileInProgress: AnyObject, Sendable {
    /// Columns of R in a panel, the last one perhaps narrower. A number that follows from the options alone, since it decides the shapes of products.
    var panelColumns: Int { get }
    func take(_ panel: FactorPanel)
    func finish() -> QuantizedTile
}

extension TileInProgress {
    /// Solves all columns with a factor that lies in one place.
    public func solve(_ factor: Factor) -> QuantizedTile {
        for columns in (0..<factor.columns).cut(every: panelColumns) { take(factor.panel(columns)) }
        return finish()
    }
}

extension QuantizationOptions {
    /// Columns of R in a panel that a tile takes.
    public var panelColumns: Int { ColumnRanges.widths(group: hasDynamicGroups ? group : nil)[0] }
}
