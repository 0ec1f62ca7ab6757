// swift-tools-version: 6.2
// What is built, and what each target may import. These arrows and no others:
//
//   ABI -> Core, Engine, Kernels, CSwiftForce     checks, converts, calls, maps errors
//   Engine -> Core, Kernels, CPlatform, CBLAS     networks: the only room that calls BLAS
//   Core -> Kernels, CPlatform                    the method: scores, selection, search
//   Kernels -> CPlatform                          the loops over raw memory
//
// The loops are compiled once per CPU level from one folder, to which the folders of the other
// levels are links; the core chooses among them when it is first used.
//
// None of them imports Foundation, Dispatch or Concurrency: the shipped extension is small and
// needs no Swift runtime on the machine that imports it.

import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

/// What loops over every weight: the kernels, and the tests that sort and compare as many. They
/// are optimised in debug builds, too, where `swift test` would take ten times as long otherwise;
/// overflow and bounds are still checked, and what is between them is debugged as ever.
let optimised: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// The loops for a CPU level; `-Xcc` reaches the code generator of both Swift and C.
/// and the definition tells the loops how wide its registers are.
func kernels(_ name: String, _ level: String? = nil, define: String? = nil) -> Target {
  let march: [SwiftSetting] = level.map { [.unsafeFlags(["-Xcc", "-march=\($0)"])] } ?? []
  let flags = march + (define.map { [.define($0)] } ?? [])
  return .target(
    name: name, dependencies: ["CPlatform"], swiftSettings: strict + optimised + flags)
}

#if arch(x86_64)
  let levels = [
    kernels("SwiftForceKernels", "x86-64-v2"),
    kernels("SwiftForceKernelsV3", "x86-64-v3", define: "SWIFTFORCE_V3"),
    kernels("SwiftForceKernelsV4", "x86-64-v4", define: "SWIFTFORCE_V4"),
  ]
#else
  let levels = [kernels("SwiftForceKernels")]
#endif

let package = Package(
  name: "swiftforce",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "SwiftForceCore", targets: ["SwiftForceCore"]),
    .library(name: "SwiftForceEngine", targets: ["SwiftForceEngine"]),
    // What setup.py links into the Python extension.
    .library(name: "SwiftForceABI", type: .static, targets: ["SwiftForceABI"]),
  ],
  targets: levels + [
    .target(name: "CSwiftForce"),
    .systemLibrary(name: "CBLAS"),
    .target(name: "CPlatform"),
    .target(
      name: "SwiftForceCore",
      dependencies: ["CPlatform"] + levels.map { .target(name: $0.name) },
      swiftSettings: strict),
    .target(
      name: "SwiftForceEngine",
      dependencies: ["SwiftForceCore", "CPlatform", "CBLAS"]
        + levels.map { .target(name: $0.name) },
      swiftSettings: strict),
    .target(
      name: "SwiftForceABI",
      dependencies: [
        "SwiftForceCore", "SwiftForceEngine", "SwiftForceKernels", "CSwiftForce", "CPlatform",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SwiftForceCoreTests",
      dependencies: ["SwiftForceCore", "SwiftForceKernels"],
      swiftSettings: strict + optimised),
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
