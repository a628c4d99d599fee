// The seconds of products, attention, X^T X and factorisations, by the widths of their matrices.

internal import Transformers

/// How long a rank of a profile computes, with operands of a type.
///
/// What a product does besides its multiplications grows with its operands, and they with its square: the time of an operation is a + b / width, after
/// Hockney and Jesshope (Parallel Computers 2, section 1.3), and follows from the two widths that are measured. Above the wider one it stays.
struct ArithmeticTimes {
    let rates: MachineProfile.Rates
    let isBFloat16: Bool

    /// x W^T
    ///
    /// - Parameters:
    ///   - operations: multiplications and additions.
    ///   - rows, columns: of W.
    func product(_ operations: Double, rows: Double, columns: Double) -> Double {
        let width = 2 / (1 / max(rows, 1) + 1 / max(columns, 1))
        return isBFloat16
            ? operations * perOperation(width, rates.productBFloat16, rates.narrow.productBFloat16)
            : operations * perOperation(width, rates.productFloat, rates.narrow.productFloat)
    }

    func attention(_ operations: Double) -> Double { operations / (isBFloat16 ? rates.attentionBFloat16 : rates.attentionFloat) }

    /// X^T X of so many columns.
    func gram(_ operations: Double, columns: Double) -> Double {
        isBFloat16
            ? operations * perOperation(columns, rates.gramBFloat16, rates.narrow.gramBFloat16)
            : operations * perOperation(columns, rates.gramFloat, rates.narrow.gramFloat)
    }

    /// The factorisation of a matrix of so many columns.
    func factor(_ operations: Double, columns: Double) -> Double {
        isBFloat16
            ? operations * perOperation(columns, rates.factorBFloat16, rates.narrow.factorBFloat16)
            : operations * perOperation(columns, rates.factorFloat, rates.narrow.factorFloat)
    }

    /// Seconds of an operation, from its rates with wide and with narrow matrices.
    private func perOperation(_ width: Double, _ wide: Double, _ narrow: Double) -> Double {
        let (most, least) = (Double(MachineProfile.Rates.wideColumns), Double(MachineProfile.Rates.narrowColumns))
        // Narrow matrices are never faster, and no width makes an operation free.
        let slope = min(max(1 / narrow - 1 / wide, 0) / (1 / least - 1 / most), most / wide)
        return 1 / wide + slope * (1 / min(width, most) - 1 / most)
    }
}
