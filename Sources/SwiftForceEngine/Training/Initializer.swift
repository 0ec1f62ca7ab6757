// How weights start. Everything is drawn from the seed through the package's one generator. What
// must not live here: where the weights lie.

import SwiftForceCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// Kaiming-normal weights: mean 0, variance 2 / fan-in, which keeps the size of activations through
/// rectifiers. Biases start at zero.
///
/// Parameter i of the network draws from stream i of the seed, so a tensor's values do not depend
/// on the sizes of the others. They are drawn in double and rounded once; two machines agree as far
/// as the logarithm, sine and cosine of their libm do.
///
/// Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
struct KaimingNormal {
  let seed: UInt64

  /// Even, so that pairs are not split; 32 KiB, so that the chunk stays in cache.
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

/// Standard normal numbers in pairs, by Box and Muller's transform of two uniform ones.
struct NormalSequence {
  var generator: Generator

  /// The next `count` numbers; where that is odd, the second number of the last pair is lost.
  mutating func next(_ count: Int) -> [Double] {
    var values: [Double] = []
    values.reserveCapacity(count + 1)
    while values.count < count {
      // In (0, 1]: the logarithm of zero never occurs.
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
