// How the engine enters BLAS: on its own threads alone, one call for each of them. What must not
// live here: the products (MatrixProduct.swift), and waiting for a fork or for the end of the
// process (CPlatform).

internal import CBLAS
import CPlatform
import SwiftForceCore

/// Calls of BLAS from the threads of a team.
///
/// OpenBLAS computes each call on the thread that makes it. Its own threads have whatever
/// floating-point environment the thread had that loaded it, and it joins them in a fork and at the
/// end of a process, where a product under way would make it wait for ever.
public enum LibraryCalls {
  /// Makes OpenBLAS use no threads of its own, in the whole process.
  public static func useCallingThreadOnly() { openblas_set_num_threads(1) }

  /// Makes sure that BLAS has the memory that one call needs, and uses no threads of its own: a
  /// library that shares it (threadpoolctl, numpy) may have switched them on again.
  ///
  /// - Throws: `.noMemory`.
  static func prepare() throws(SFError) {
    if openblas_get_num_threads() != 1 { useCallingThreadOnly() }
    guard platform_first_call(firstProduct) == 1 else { throw .noMemory(bytes: memory) }
  }

  /// What OpenBLAS maps for each thread that is in a product.
  private static let memory = 128 << 20

  /// Calls `body(round)` for each round below `count`, on the threads of the team, or on
  /// the caller's alone if memory is short.
  static func forEach(_ count: Int, _ team: Team, _ body: (_ round: Int) -> Void) {
    let granted = platform_begin_calls(Int32(min(count, team.workers)))
    defer { platform_end_calls(granted) }
    guard granted > 1 else {
      for round in 0..<count { body(round) }
      return
    }
    team.forEach(count) { _, round in body(round) }
  }
}

/// A product that is large enough for BLAS to map its memory: OpenBLAS computes some of up to a
/// million multiplications without.
private let firstProduct: @convention(c) () -> Void = {
  let size: Int32 = 160
  let matrix = [Float](repeating: 0, count: Int(size * size))
  var product = matrix
  unsafe matrix.withUnsafeBufferPointer { matrix in
    unsafe product.withUnsafeMutableBufferPointer { product in
      unsafe cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasTrans, size, size, size, 1, matrix.baseAddress, size,
        matrix.baseAddress, size, 0, product.baseAddress, size)
    }
  }
}
