// swift-tools-version: 6.2
// What is built, and what each target may import. These arrows and no others:
//
//   ABI -> Core, Engine, Kernels, CSwiftForce     checks, converts, calls, maps errors
//   Engine -> Core, Kernels, CBLAS                networks: the only room that calls BLAS
//   Core -> Kernels                               the method: scores, selection, search
//   Kernels -> nothing                            the loops over raw memory
//
// None of them imports Foundation, Dispatch or Concurrency: the shipped extension is small and
// needs no Swift runtime on the machine that imports it.

import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "swiftforce",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "SwiftForceCore", targets: ["SwiftForceCore"]),
    .library(name: "SwiftForceEngine", targets: ["SwiftForceEngine"]),
    // What setup.py links into the Python extension.
    .library(name: "SwiftForceABI", type: .static, targets: ["SwiftForceABI"]),
  ],
  targets: [
    .target(name: "CSwiftForce"),
    .systemLibrary(name: "CBLAS"),
    .target(name: "SwiftForceKernels", swiftSettings: strict),
    .target(
      name: "SwiftForceCore",
      dependencies: ["SwiftForceKernels"],
      swiftSettings: strict),
    .target(
      name: "SwiftForceEngine",
      dependencies: ["SwiftForceCore", "SwiftForceKernels", "CBLAS"],
      swiftSettings: strict),
    .target(
      name: "SwiftForceABI",
      dependencies: ["SwiftForceCore", "SwiftForceEngine", "SwiftForceKernels", "CSwiftForce"],
      swiftSettings: strict),
    .testTarget(
      name: "SwiftForceCoreTests",
      dependencies: ["SwiftForceCore", "SwiftForceKernels"],
      swiftSettings: strict),
    .testTarget(
      name: "SwiftForceEngineTests",
      dependencies: ["SwiftForceEngine", "SwiftForceCore", "SwiftForceKernels"],
      swiftSettings: strict),
    .testTarget(
      name: "SwiftForceABITests",
      dependencies: ["SwiftForceABI", "CSwiftForce"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
