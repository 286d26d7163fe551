// A vector of doubles, one frame or slot per lane, and the few functions on it that the solver needs.
// Included once per instruction set, inside that set's namespace, after LANES, the number of doubles per
// register; hence no include guard and no includes.

typedef double Real __attribute__((vector_size(LANES * sizeof(double))));
typedef long long Mask __attribute__((vector_size(LANES * sizeof(double))));  // -1 where true
typedef unsigned long long Bits __attribute__((vector_size(LANES * sizeof(double))));

INLINE Real splat(double value) { return Real{} + value; }
INLINE Real maximum(Real a, Real b) { return a > b ? a : b; }
INLINE Real minimum(Real a, Real b) { return a < b ? a : b; }
INLINE Real clip(Real a, Real low, Real high) { return minimum(maximum(a, low), high); }
INLINE Real magnitude(Real a) { return maximum(a, -a); }
INLINE Real choose(Mask mask, Real a, Real b) { return mask ? a : b; }

INLINE bool any(Mask mask) {
  long long found = 0;
  for (int lane = 0; lane < LANES; ++lane) found |= mask[lane];
  return found != 0;
}

// Square root with the processor's instruction.
INLINE Real square_root(Real a) {
  Real root;
  for (int lane = 0; lane < LANES; ++lane) root[lane] = __builtin_sqrt(a[lane]);
  return root;
}

// ln(1 + x) for x >= 0, given 1/(1 + x); within 1 ulp or so of the exact value, also for tiny x.
// The polynomial is that of fdlibm's log.
INLINE Real log1p_given_inverse(Real x, Real inverse) {
  const Real u = 1.0 + x;
  const unsigned long long root_half = 0x3fe6a09e667f3bcdULL, one = 0x3ff0000000000000ULL;
  const Bits shifted = (Bits)u + (one - root_half);
  // The exponent as a double: its bits behind those of 2^52.
  const Real k = (Real)((shifted >> 52) | 0x4330000000000000ULL) - (4503599627370496.0 + 1023.0);
  const Real m = (Real)((shifted & 0x000fffffffffffffULL) + root_half);
  const Real f = m - 1.0;
  const Real s = f / (2.0 + f);
  const Real z = s * s, w = z * z;
  const Real odd = z * (0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591)));
  const Real even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332));
  const Real half_square = 0.5 * f * f;
  const Real correction = (x - (u - 1.0)) * inverse;
  const Real low = s * (half_square + even + odd) + (k * 1.90821492927058770002e-10 + correction);
  return k * 6.93147180369123816490e-01 - ((half_square - low) - f);
}
