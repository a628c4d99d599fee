// What clients call a family's modules, and what checkpoints call their tensors instead.

/// The names of a family's modules that are not plain: everything else goes by one name in files and in every client.
struct ModuleNames: Sendable {
    /// The class of transformers that holds the model with its head.
    let causalClass: String
    /// The module in which that class keeps everything but the head. Files may leave its name out, as those of the class without a head do, or give it
    /// twice: transformers takes it away or adds it where that makes a name of the model.
    let base: String
    /// The head's name in files.
    var head = "lm_head"

    /// Other names of `base` in files.
    var otherBases: [String] = []

    /// Those of a language model inside a model that sees images.
    static func inVisionModel(_ causalClass: String) -> ModuleNames {
        ModuleNames(causalClass: causalClass, base: "language_model.model", head: "language_model.lm_head", otherBases: ["model.language_model"])
    }

    /// transformers' name of every head.
    static let transformersHead = "lm_head"

    /// The names by which clients know the head's module: transformers' first, then that of the files, which vLLM uses.
    var headModules: [String] { head == Self.transformersHead ? [head] : [Self.transformersHead, head] }

    /// What a file's module is called in the family, if it is one of the model's.
    ///
    /// - Parameter isKnown: whether a name is one of the family's modules.
    func family(_ module: String, isKnown: (String) -> Bool) -> String? {
        let module = module == Self.transformersHead ? head : module
        if isKnown(module) { return module }
        for other in otherBases where module.hasPrefix(other + ".") {
            let name = base + module.dropFirst(other.count)
            if isKnown(name) { return name }
        }
        if module.hasPrefix(base + ".") {
            let shorter = String(module.dropFirst(base.count + 1))
            // transformers knows a head by the files' name where it begins a tensor's name, and nowhere else.
            let name = shorter == Self.transformersHead ? head : shorter
            if isKnown(name), name != head || shorter == Self.transformersHead { return name }
        }
        let longer = "\(base).\(module)"
        return isKnown(longer) ? longer : nil
    }
}

/// The names of a checkpoint's tensors beside those of its family.
public struct TensorNames: Sendable, Hashable {
    /// The family's names of modules that the checkpoint calls otherwise, by the checkpoint's.
    private let family: [String: String]
    private let file: [String: String]
    /// What the names of blocks begin with: "model.layers.", how many there are, and how many behind them predict further tokens.
    private let blocks: String
    private let blockCount: Int
    private let predictors: Int
    private let base: String
    private let otherBases: [String]

    /// Of a checkpoint that is not there.
    static let plain = TensorNames()

    private init() {
        (family, file, blocks, blockCount, predictors, base, otherBases) = ([:], [:], "", 0, 0, "", [])
    }

    /// - Parameters:
    ///   - tensors: the checkpoint's tensors; none where they are not known.
    ///   - modules: the family's modules that have tensors.
    ///   - tie: the modules of the embedding and of the head that is tied to it: a checkpoint may have the head alone.
    ///   - blocks: what the names of blocks begin with.
    ///   - predictors: blocks behind the last that predict further tokens.
    init(
        _ tensors: Set<String>, _ names: ModuleNames, modules: Set<String>, tie: (embedding: String, head: String)?, blocks: String, blockCount: Int,
        predictors: Int, source: String
    ) throws(ArchitectureError) {
        var family: [String: String] = [:]
        // Of each tensor by its family's name, that of the checkpoint: two that stand for one are an error.
        var found: [String: String] = [:]
        for tensor in tensors.sorted() {
            let (module, rest) = Self.split(tensor)
            guard let name = names.family(module, isKnown: modules.contains) else { continue }
            if name != module { family[module] = name }
            if let other = found.updateValue(tensor, forKey: name + rest) {
                throw .ambiguous(source: source, tensor: name + rest, names: [other, tensor])
            }
        }
        if let tie, found[tie.embedding + ".weight"] == nil, let head = found[tie.head + ".weight"] { family[Self.split(head).module] = tie.embedding }
        self.family = family
        file = Dictionary(family.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
        (base, otherBases) = (names.base, names.otherBases)
        self.blocks = blocks
        self.blockCount = blockCount
        self.predictors = predictors
    }

    /// Modules that the checkpoint calls otherwise than the family, by the family's names.
    public var renamed: [String: String] { file }

    /// The family's name of a tensor of the checkpoint; its own where it is not one of the model's.
    public func familyName(_ tensor: String) -> String {
        let (module, rest) = Self.split(tensor)
        return family[module].map { $0 + rest } ?? tensor
    }

    /// Other names that clients have for a module of the family.
    public func otherNames(of module: String) -> [String] {
        module.hasPrefix(base + ".") ? otherBases.map { $0 + module.dropFirst(base.count) } : []
    }

    /// The part of a model for several kinds of input to which a tensor beside the language model belongs: a pattern of its modules' names, as clients match them
    /// from their start; nil of other models, and of parts of the language model.
    public func otherPart(_ tensor: String) -> String? {
        guard base.contains("."), !tensor.hasPrefix(base + "."), let part = tensor.split(separator: ".").first(where: { $0 != "model" }),
            !base.split(separator: ".").contains(part)
        else { return nil }
        return "(.*[.])?\(part)([.].*)?$"
    }

    /// The checkpoint's name of a tensor of the family.
    public func fileName(_ tensor: String) -> String {
        let (module, rest) = Self.split(tensor)
        return file[module].map { $0 + rest } ?? tensor
    }

    /// The number of the block to which a tensor of the checkpoint belongs, where config.json knows nothing of such a block.
    public func blockBeyond(_ tensor: String) -> Int? {
        number(ofBlock: tensor).flatMap { $0 >= blockCount + predictors ? $0 : nil }
    }

    /// The part of a model that predicts further tokens (multi-token prediction), to which a tensor of the checkpoint belongs: a pattern of its modules' names, as
    /// clients match them from their start. Such parts are blocks behind the last, as config.json announces them, or a module of their own.
    public func predictor(_ tensor: String) -> String? {
        if let index = number(ofBlock: tensor) {
            let container = blocks.split(separator: ".").last ?? ""
            return (blockCount..<blockCount + predictors).contains(index) ? "(.*[.])?\(container)[.]\(index)[.].*" : nil
        }
        let part = tensor.split(separator: ".").prefix(3).first { $0 == "mtp" || $0.hasPrefix("mtp_") }
        return part.map { "(.*[.])?\($0)[.].*" }
    }

    /// Whether a tensor of the checkpoint belongs to a block of the model itself.
    public func isInBlock(_ tensor: String) -> Bool { number(ofBlock: tensor).map { $0 < blockCount } ?? false }

    private func number(ofBlock tensor: String) -> Int? {
        guard !blocks.isEmpty else { return nil }
        let names = [tensor, "\(base).\(tensor)"] + (tensor.hasPrefix(base + ".") ? [String(tensor.dropFirst(base.count + 1))] : [])
        for name in names where name.hasPrefix(blocks) {
            let number = name.dropFirst(blocks.count).prefix { $0.isASCII && $0.isNumber }
            if let index = Int(number), name.dropFirst(blocks.count + number.count).first == "." { return index }
        }
        return nil
    }

    /// A tensor's module, and the rest of its name with its dot.
    private static func split(_ tensor: String) -> (module: String, rest: String) {
        guard let dot = tensor.lastIndex(of: ".") else { return (tensor, "") }
        return (String(tensor[..<dot]), String(tensor[dot...]))
    }
}
