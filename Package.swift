// swift-tools-version: 6.2
// The targets, and what each of them may import. These dependencies and no others:
//
//   ABI -> Core, Engine, CSwiftForce, CPlatform    checks, converts, calls, maps errors
//   Engine -> Core, Kernels, CPlatform, CBLAS      networks; the only target that calls BLAS
//   Core -> Kernels, CPlatform                     the method: scores, selection, search
//   Kernels -> CPlatform                           the loops over raw memory
//
// The loops are compiled once per CPU level. Their sources are in Sources/SwiftForceKernels; the
// folders of the other levels are symbolic links to it. The core chooses a level when it first
// needs one.
//
// No target imports Foundation, Dispatch or Concurrency, so the extension is small and needs no
// Swift runtime on the machine that imports it.

import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

/// For targets that loop over every weight: the kernels, and the tests that sort and compare as
/// many numbers. They are optimised in debug builds, too; without it `swift test` would take ten
/// times as long. Overflow and bounds are still checked, and the targets between them stay
/// debuggable.
let optimised: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// The target of the loops for one CPU level.
///
/// - Parameters:
///   - level: the value of `-march`; `-Xcc` passes it to the code generator of both Swift and C.
///   - define: tells the loops how wide the registers of the level are.
///
/// The compiler must not make gathering instructions of several loads: they are slower than the
/// loads on CPUs of AMD, and on those of Intel with the microcode of 2023.
func kernels(_ name: String, _ level: String? = nil, define: String? = nil) -> Target {
  let march: [SwiftSetting] =
    level.map { [.unsafeFlags(["-Xcc", "-march=\($0)", "-Xcc", "-mno-gather"])] } ?? []
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
    // The library that setup.py links into the Python extension.
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
      dependencies: ["SwiftForceCore", "SwiftForceEngine", "CSwiftForce", "CPlatform"],
      swiftSettings: strict),
    .testTarget(
      name: "SwiftForceCoreTests",
      dependencies: ["SwiftForceCore", "SwiftForceKernels"],
      swiftSettings: strict + optimised),
    .testTarget(
      name: "SwiftForceEngineTests",
      dependencies: ["SwiftForceEngine", "SwiftForceCore", "SwiftForceKernels"],
      swiftSettings: strict + optimised),
    .testTarget(
      name: "SwiftForceABITests",
      dependencies: ["SwiftForceABI", "CSwiftForce", "CPlatform"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
