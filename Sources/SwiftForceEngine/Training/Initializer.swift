// Initial weights, drawn from the seed with the package's one generator. What must not live here:
// the layout of parameters.

import SwiftForceCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// Kaiming-normal weights: mean 0, variance 2 / fan-in, which preserves the variance of activations
/// through rectifiers.
///
/// Parameter i of the network uses stream i of the seed, so a tensor's values do not depend on the
/// sizes of the others. Values are drawn in double and rounded once. Two machines agree as far as
/// the logarithm, sine and cosine of their C libraries do.
///
/// Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
struct KaimingNormal {
  let seed: UInt64

  /// Even, so that no pair is split; 32 KiB of doubles, so that a chunk stays in cache.
  static let chunk = 4096

  func fill<Element>(_ weights: Vector<Element>, fanIn: Int, stream: UInt64)
  where Element: BLASScalar {
    var normals = NormalSequence(generator: Generator(seed: seed, stream: stream))
    let deviation = (2 / Double(fanIn)).squareRoot()
    for start in stride(from: 0, to: weights.count, by: KaimingNormal.chunk) {
      let end = min(start + KaimingNormal.chunk, weights.count)
      weights.part(start..<end).assign(normals.next(end - start), scaledBy: deviation)
    }
  }
}

/// Standard normal numbers in pairs, by the Box-Muller transform of two uniform numbers.
struct NormalSequence {
  var generator: Generator

  /// The next `count` numbers. If that is odd, the second number of the last pair is discarded.
  mutating func next(_ count: Int) -> [Double] {
    var values: [Double] = []
    values.reserveCapacity(count + 1)
    while values.count < count {
      // In (0, 1], so that the logarithm is finite.
      let uniform = 1 - generator.nextUniform()
      let angle = 2 * Double.pi * generator.nextUniform()
      let radius = (-2 * log(uniform)).squareRoot()
      values.append(radius * cos(angle))
      values.append(radius * sin(angle))
    }
    if values.count > count { values.removeLast() }
    return values
  }
}
