// swift-tools-version: 6.1
// The rooms of Cleave and the arrows between them: each target may import only the targets it lists.

import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "cleave",
    products: [],
    dependencies: [],
    targets: [
        // MARK: - Doors to C libraries
        .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-openmp-dev"])]),
        .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
        .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
        .target(
            name: "CKernels",
            cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"])]),

        // MARK: - Foundations
        .target(name: "MessagePassing", dependencies: ["COpenMPI"], swiftSettings: swiftSettings),
        .target(
            name: "LinearAlgebra", dependencies: ["COpenBLAS", "COneDNN", "CKernels"], swiftSettings: swiftSettings),

        // MARK: - Models and texts
        .target(name: "Tokenizers", dependencies: ["COniguruma"], swiftSettings: swiftSettings),

        // MARK: - Tests
        .testTarget(name: "LinearAlgebraTests", dependencies: ["LinearAlgebra"], swiftSettings: swiftSettings),
        .testTarget(
            name: "TokenizersTests", dependencies: ["Tokenizers"], resources: [.copy("Fixtures")],
            swiftSettings: swiftSettings),
    ]
)
