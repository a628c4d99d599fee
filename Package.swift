// swift-tools-version: 6.1
// The rooms of Cleave and the arrows between them: each target may import only the targets it lists.

import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The MPI library: Open MPI, or MPICH with CLEAVE_MPI=mpich. Binaries of the two need a build folder each (`MPI=mpich make build`).
let isMPICH = Context.environment["CLEAVE_MPI"] == "mpich"

/// A room: a library target under Sources/.
///
/// - Parameter embedded: a folder of files whose bytes become part of the binary, so that it stays one file.
func room(_ name: String, _ dependencies: [Target.Dependency] = [], embedded: String? = nil) -> Target {
    .target(name: name, dependencies: dependencies, resources: embedded.map { [.embedInCode($0)] } ?? [], swiftSettings: swiftSettings)
}

/// The tests of a room, with fixture files where it has some.
func tests(_ name: String, _ dependencies: [Target.Dependency], fixtures: Bool = false) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: fixtures ? [.copy("Fixtures")] : [], swiftSettings: swiftSettings)
}

/// The fuzz targets (`make fuzz`): only there when asked for, since they link with libFuzzer's own main.
let fuzzing: [Target] =
    Context.environment["CLEAVE_FUZZING"] == nil
    ? []
    : [
        .executableTarget(
            name: "Fuzzing",
            dependencies: [
                "Checkpoints", "Compression", "Failures", "GGUF", "JSON", "LinearAlgebra", "Models", "Packing", "Parquet", "Recipes", "Safetensors", "Sharding",
                "Tokenizers", "Transformers",
            ],
            path: "Tests/Fuzzing", exclude: ["Corpus", "Dictionaries", "Regressions", "run.sh"], swiftSettings: swiftSettings)
    ]

let package = Package(
    name: "cleave",
    products: [.executable(name: "cleave", targets: ["cleave"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
    ],
    targets: [
        // MARK: - Doors to C libraries
        .systemLibrary(
            name: "CMPI", pkgConfig: isMPICH ? "mpich" : "ompi-c", providers: [.apt([isMPICH ? "libmpich-dev" : "libopenmpi-dev"])]),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-openmp-dev"])]),
        .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CSnappy", pkgConfig: "snappy", providers: [.apt(["libsnappy-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CAffinity"),
        .systemLibrary(name: "CSharedMemory"),
        .target(name: "CAddressSpace"),
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"])]),

        // MARK: - Foundations
        room("MessagePassing", ["CAffinity", "CMPI", "CSharedMemory"]),
        room("LinearAlgebra", ["COpenBLAS", "COneDNN", "CMalloc", "CKernels", "CAddressSpace"]),
        room("JSON"),
        room("Safetensors", ["CXXHash", "JSON"]),
        room("GGUF", ["JSON", "Safetensors"]),
        room("RegularExpressions", ["COniguruma"]),
        room("Decompression", ["CSnappy", "CZlib", "CZstd", "Safetensors"]),
        room("Parquet", ["Decompression", "Safetensors"]),
        room("Reporting"),
        room("Pages", ["Reporting", .product(name: "Mustache", package: "swift-mustache")], embedded: "Templates"),

        // MARK: - Models, methods, formats
        room("Tokenizers", ["JSON", "RegularExpressions"]),
        room("Transformers", ["JSON", "LinearAlgebra", "CKernels"]),
        room("Compression", ["LinearAlgebra", "CKernels"]),
        room("Packing", ["Compression", "JSON", "LinearAlgebra", "Safetensors"]),

        // MARK: - Runs
        room("Recipes", ["Compression", "RegularExpressions", "Transformers", .product(name: "Yams", package: "Yams")]),
        room("Sharding", ["Compression", "LinearAlgebra", "Recipes", "Transformers"]),
        room("Failures", ["Compression", "LinearAlgebra", "MessagePassing", "Packing", "Recipes", "Safetensors", "Sharding", "Tokenizers", "Transformers"]),
        room("Texts", ["Decompression", "Failures", "JSON", "Parquet", "Recipes", "Safetensors", "Tokenizers"]),
        room(
            "Models",
            [
                "Compression", "Failures", "GGUF", "JSON", "LinearAlgebra", "MessagePassing", "Packing", "Recipes", "Safetensors", "Sharding", "Transformers",
            ]),
        room(
            "Checkpoints",
            [
                "Compression", "Failures", "GGUF", "JSON", "LinearAlgebra", "MessagePassing", "Models", "Packing", "Recipes", "Reporting", "Safetensors",
                "Sharding", "Transformers",
            ]),
        room(
            "Calibration",
            [
                "Failures", "LinearAlgebra", "MessagePassing", "Models", "Packing", "Recipes", "Reporting", "Safetensors", "Sharding", "Texts", "Transformers",
            ]),
        room(
            "Solving",
            [
                "Calibration", "Checkpoints", "Compression", "Failures", "LinearAlgebra", "MessagePassing", "Models", "Packing", "Recipes", "Reporting",
                "Sharding", "Transformers",
            ]),
        room(
            "Runs",
            [
                "Calibration", "Checkpoints", "Compression", "Failures", "JSON", "LinearAlgebra", "MessagePassing", "Models", "Packing", "Recipes", "Reporting",
                "Safetensors", "Sharding", "Solving", "Texts", "Transformers",
            ]),
        room("Measurement", ["Compression", "LinearAlgebra", "MessagePassing", "Packing", "Safetensors", "Sharding", "Transformers"]),
        .executableTarget(
            name: "cleave",
            dependencies: [
                "Calibration", "Checkpoints", "Compression", "Decompression", "Failures", "GGUF", "LinearAlgebra", "Measurement", "MessagePassing", "Models",
                "Pages", "Recipes", "RegularExpressions", "Reporting", "Runs", "Safetensors", "Sharding", "Texts", "Transformers",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny")]),

        // MARK: - Tests
        .target(name: "SeededNumbers", path: "Tests/SeededNumbers", swiftSettings: swiftSettings),
        .target(name: "TinyModels", dependencies: ["Safetensors", "Transformers"], path: "Tests/TinyModels", swiftSettings: swiftSettings),
        .target(name: "TestWorld", dependencies: ["MessagePassing"], path: "Tests/TestWorld", swiftSettings: swiftSettings),
        tests("MessagePassingTests", ["MessagePassing", "LinearAlgebra", "TestWorld"]),
        tests("LinearAlgebraTests", ["LinearAlgebra", "CKernels", "SeededNumbers"]),
        tests("JSONTests", ["JSON"]),
        tests("SafetensorsTests", ["Safetensors"]),
        tests("GGUFTests", ["GGUF", "JSON"]),
        tests("RegularExpressionsTests", ["RegularExpressions"]),
        tests("DecompressionTests", ["CZstd", "Decompression", "Safetensors"]),
        tests("ParquetTests", ["Parquet", "Safetensors"], fixtures: true),
        tests("TokenizersTests", ["Tokenizers"], fixtures: true),
        tests("TransformersTests", ["Transformers", "LinearAlgebra", "CKernels", "SeededNumbers"], fixtures: true),
        tests("CompressionTests", ["Compression", "LinearAlgebra", "CKernels", "SeededNumbers"], fixtures: true),
        tests("PackingTests", ["Packing", "Compression", "JSON", "LinearAlgebra", "Safetensors"], fixtures: true),
        tests("RecipesTests", ["Recipes", "Compression", "Transformers"]),
        tests("ShardingTests", ["Sharding", "Compression", "Recipes", "SeededNumbers", "Transformers"]),
        tests("TextsTests", ["Failures", "Recipes", "Safetensors", "Texts", "TinyModels", "Tokenizers"]),
        tests("ModelsTests", ["MessagePassing", "Models", "Recipes", "Safetensors", "TestWorld", "TinyModels"]),
        tests("CalibrationTests", ["Calibration", "MessagePassing", "Models", "Recipes", "Reporting", "TestWorld", "Texts", "TinyModels", "Transformers"]),
        tests(
            "RunsTests",
            [
                "Calibration", "Checkpoints", "Failures", "MessagePassing", "Models", "Recipes", "Reporting", "Runs", "Safetensors", "Sharding", "TestWorld",
                "Texts", "TinyModels", "Transformers",
            ]),
        tests("ReportingTests", ["Reporting"]),
        tests("PagesTests", ["Pages", "Reporting"]),
        .testTarget(name: "EndToEndTests", exclude: ["Faults"], swiftSettings: swiftSettings),
    ] + fuzzing
)
