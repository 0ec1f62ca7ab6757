// How fast the computations of sparse layers are. It runs if SWIFTFORCE_SPARSE_SPEED is set, and
// prints; it checks nothing. What must not live here: peers (benchmarks/).

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

private func setting(_ name: String) -> String? {
  guard let text = unsafe getenv(name) else { return nil }
  return unsafe String(cString: text)
}

/// SWIFTFORCE_SPARSE_SPEED: which layers, "all" or a part of their names.
/// SWIFTFORCE_SPARSE_REMOVED: percentages. SWIFTFORCE_SPARSE_WORKERS: numbers of workers.
@Suite(.enabled(if: setting("SWIFTFORCE_SPARSE_SPEED") != nil, "it measures"), .serialized)
struct SparseSpeed {
  static let layers: [(String, SparseCase)] = [
    ("3x3 128-128 16x16", SparseCase(inputs: 128, outputs: 128, image: [16, 16])),
    ("3x3 256-256 8x8", SparseCase(inputs: 256, outputs: 256, image: [8, 8])),
    ("3x3 512-512 4x4", SparseCase(inputs: 512, outputs: 512, image: [4, 4])),
    ("3x3 512-512 2x2", SparseCase(inputs: 512, outputs: 512, image: [2, 2])),
    ("3x3/2 128-256 16x16", SparseCase(inputs: 128, outputs: 256, stride: 2, image: [16, 16])),
    (
      "1x1 1024-256 8x8",
      SparseCase(inputs: 1024, outputs: 256, kernel: 1, padding: 0, image: [8, 8])
    ),
    (
      "linear 1024-1024",
      SparseCase(
        inputs: 1024, outputs: 1024, kernel: 1, padding: 0, image: [1, 1], isFlat: true)
    ),
  ]

  /// The smallest time of several runs: of the CPU if there is one worker, because other processes
  /// may use it, too.
  private func milliseconds(workers: Int, _ body: () -> Void) -> Double {
    func now() -> Double {
      var time = timespec()
      unsafe clock_gettime(workers == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time)
      return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
    var best = Double.infinity
    let start = now()
    var runs = 0
    while runs < 3 || now() - start < 200 {
      let before = now()
      body()
      best = min(best, now() - before)
      runs += 1
    }
    return best
  }

  @Test func isMeasured() throws {
    let wanted = setting("SWIFTFORCE_SPARSE_SPEED") ?? ""
    let removed = (setting("SWIFTFORCE_SPARSE_REMOVED") ?? "40,90,95,98,99,99.5").split(
      separator: ","
    ).compactMap { Double($0) }
    let workers = (setting("SWIFTFORCE_SPARSE_WORKERS") ?? "1").split(separator: ",").compactMap {
      Int($0)
    }
    for (name, form) in Self.layers where wanted == "all" || name.contains(wanted) {
      for percent in removed {
        for workers in workers {
          var form = form
          form.density = 1 - percent / 100
          form.batch = 128
          try measure("\(name) \(percent)% \(workers)", form, workers)
        }
      }
    }
  }

  private func measure(_ name: String, _ form: SparseCase, _ workers: Int) throws {
    let bench = try SparseBench<Float>(
      form, loops: CPULevel.supported.sparseLoops, workers: workers)
    bench.run()
    // Multiply-adds with kept weights, without those of padding.
    let plan = bench.weights.forward.plan
    var pairs = 0.0
    for (number, point) in plan.points.classes.enumerated() {
      let segments = bench.weights.forward.segments(number, chunks: 0..<plan.chunks).values
      for channel in 0..<form.outputs {
        for s in stride(from: 0, to: segments.count, by: 2) {
          let starts = bench.weights.forward.starts
          let first = starts[channel * plan.groups + Int(segments[s])]
          let end = starts[channel * plan.groups + Int(segments[s + 1])]
          pairs += Double(end - first) * Double(point.points.count)
        }
      }
    }
    let operations = pairs * Double(bench.batch.parts) * 32
    let times = [
      milliseconds(workers: workers) { bench.forward() },
      milliseconds(workers: workers) { bench.computeInputGradient() },
      milliseconds(workers: workers) { bench.computeWeightGradient() },
    ]
    let rates = times.map { String(Int(operations / $0 / 1e6)) }.joined(separator: " ")
    let shown = times.map { String(($0 * 100).rounded() / 100) }.joined(separator: " ")
    let total = (times.reduce(0, +) * 100).rounded() / 100
    print("\(name): \(total) ms = \(shown); GFLOP/s \(rates)")
    fflush(nil)
  }
}
