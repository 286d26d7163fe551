// The best beams of slots at given prices, one slot per lane, and their values; names as in pricing.py.
// Included once per instruction set, after solver.h, inside that set's namespace.

struct Complexes { Real re, im; };  // complex numbers, one per lane

INLINE Complexes operator+(Complexes a, Complexes b) { return {a.re + b.re, a.im + b.im}; }
INLINE Complexes operator-(Complexes a, Complexes b) { return {a.re - b.re, a.im - b.im}; }
INLINE Complexes operator*(Real a, Complexes b) { return {a * b.re, a * b.im}; }
INLINE Complexes operator*(Complexes a, Complexes b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
INLINE Complexes conjugate(Complexes a) { return {a.re, -a.im}; }
INLINE Real norm(Complexes a) { return a.re * a.re + a.im * a.im; }
INLINE Complexes choose(Mask mask, Complexes a, Complexes b) { return {choose(mask, a.re, b.re), choose(mask, a.im, b.im)}; }

class SlotBeams {
 public:
  explicit SlotBeams(int size) : size_(size) {
    const int square = size * size, complexes = 2 * square + 3 * size, count = 2 * complexes + 2 * size;
    memory_ = static_cast<Real*>(std::aligned_alloc(ALIGNMENT, count * sizeof(Real)));
    if (!memory_) std::abort();
    std::fill_n(memory_, count, Real{});
    matrix = reinterpret_cast<Complexes*>(memory_);
    vectors_ = matrix + square;
    channel = vectors_ + square;
    beam = channel + size;
    own_ = beam + size;
    values_ = memory_ + 2 * complexes;
    weight_ = values_ + size;
  }
  ~SlotBeams() { std::free(memory_); }
  SlotBeams(const SlotBeams&) = delete;
  SlotBeams& operator=(const SlotBeams&) = delete;

  Complexes *matrix, *channel, *beam;  // (M, M), row by row, and (M,)

  // Principal eigenvectors of the matrices, into `beam`; the matrices are destroyed.
  void principal() {
    for_size([&](auto fixed) { principal_of(fixed); });
  }

  // The most valuable unit beams, into `beam`, where the matrices, which are destroyed, are A, the priced sums
  // of the users' channels; returns their values.
  Real best(Real c, Real q) {
    Real value;
    for_size([&](auto fixed) { value = best_of(fixed, c, q); });
    return value;
  }

 private:
  // Call a function with the size as a type, if it is a common one, which unrolls the loops; else with 0.
  template <class Function>
  void for_size(Function function) {
    switch (size_) {
      case 2: return function(std::integral_constant<int, 2>());
      case 3: return function(std::integral_constant<int, 3>());
      case 4: return function(std::integral_constant<int, 4>());
      default: return function(std::integral_constant<int, 0>());
    }
  }

  // Eigenvalues, in no order, and orthonormal eigenvectors (columns) of the matrices, by Jacobi rotations. A
  // lane that is done is left as it is, so that no lane depends on the others.
  template <int SIZE>
  INLINE void eigen(std::integral_constant<int, SIZE>) {
    const int size = SIZE ? SIZE : size_;
    const auto at = [&](int a, int b) INLINE_LAMBDA -> Complexes& { return matrix[a * size + b]; };
    for (int a = 0; a < size; ++a)
      for (int b = 0; b < size; ++b) vectors_[a * size + b] = {splat(a == b ? 1.0 : 0.0), Real{}};
    Real total{};
    for (int a = 0; a < size * size; ++a) total += norm(matrix[a]);
    const Real least = 1e-40 * total + TINY;
    for (int sweep = 0; sweep < SWEEPS; ++sweep) {
      Real rest{};
      for (int a = 0; a < size; ++a)
        for (int b = a + 1; b < size; ++b) rest += norm(at(a, b));
      const Mask going = rest > 1e-33 * total;
      if (!any(going)) break;
      for (int a = 0; a < size; ++a)
        for (int b = a + 1; b < size; ++b) {
          // Columns a and b become c a - conj(s) b and s a + c b.
          const Complexes off = at(a, b);
          const Real square = norm(off), half = 0.5 * (at(b, b).re - at(a, a).re);
          const Mask turns = going & (square > least);
          const Real root = square_root(half * half + square), sum = magnitude(half) + root;
          const Real inverse = choose(turns, 1.0 / square_root(2.0 * root * sum), Real{});
          const Real sign = choose(half >= 0.0, splat(1.0), splat(-1.0));
          const Real c = choose(turns, sum * inverse, splat(1.0));
          const Complexes s = (sign * inverse) * off;
          const Real shift = choose(turns, sign * square / sum, Real{});
          const auto turn = [&](Complexes& left, Complexes& right) INLINE_LAMBDA {
            const Complexes old = left;
            left = c * old - conjugate(s) * right;
            right = s * old + c * right;
          };
          at(a, a).re -= shift;
          at(b, b).re += shift;
          at(a, b) = choose(turns, Complexes{}, off);
          at(b, a) = conjugate(at(a, b));
          for (int r = 0; r < size; ++r) {
            turn(vectors_[r * size + a], vectors_[r * size + b]);
            if (r == a || r == b) continue;
            turn(at(r, a), at(r, b));
            at(a, r) = conjugate(at(r, a));
            at(b, r) = conjugate(at(r, b));
          }
        }
    }
    for (int a = 0; a < size; ++a) values_[a] = at(a, a).re;
  }

  // Returns the highest eigenvalues.
  template <int SIZE>
  INLINE Real principal_of(std::integral_constant<int, SIZE> fixed) {
    const int size = SIZE ? SIZE : size_;
    eigen(fixed);
    Real highest = values_[0];
    for (int a = 0; a < size; ++a) beam[a] = vectors_[a * size];
    for (int m = 1; m < size; ++m) {
      const Mask higher = values_[m] > highest;
      highest = choose(higher, values_[m], highest);
      for (int a = 0; a < size; ++a) beam[a] = choose(higher, vectors_[a * size + m], beam[a]);
    }
    return highest;
  }

  template <int SIZE>
  INLINE Real best_of(std::integral_constant<int, SIZE> fixed, Real c, Real q) {
    const int size = SIZE ? SIZE : size_;
    const Real highest = principal_of(fixed);
    Real gain{};
    for (int m = 0; m < size; ++m) {
      Complexes sum{};
      for (int a = 0; a < size; ++a) sum = sum + conjugate(vectors_[a * size + m]) * channel[a];
      own_[m] = sum;
      weight_[m] = norm(sum);
      gain += weight_[m];
    }
    const Mask reflects = (c > 0.0) & (q > 0.0) & (gain > 0.0);
    const auto inverse_at = [&](Real y, int m) INLINE_LAMBDA { return 1.0 / (y + (highest - values_[m])); };
    const auto sums = [&](Real y, Real& F, Real& squares, Real& cubes) INLINE_LAMBDA {
      F = squares = cubes = Real{};
      for (int m = 0; m < size; ++m) {
        const Real inverse = inverse_at(y, m), part = weight_[m] * inverse, square = part * inverse;
        F += part;
        squares += square;
        cubes += square * inverse;
      }
    };
    // Where c F = 1/q + own, with own = F^2 / squares. Newton steps for c / (1/q + own) - 1/F, which decreases
    // and is almost a line, within a shrinking bracket. If the channel is almost orthogonal to the principal
    // eigenvector, y is tiny, so the bracket is halved on a logarithmic scale.
    const Real inverse_q = 1.0 / q, inverse_c = 1.0 / c;
    Real low{}, high = c * q * gain, y = high / (1.0 + q * gain), F, squares, cubes;
    const Real least = 1e-40 * high;
    Mask open = reflects;
    for (int step = 0; step < STEPS; ++step) {
      if (!any(open)) break;
      sums(y, F, squares, cubes);
      const Real per_square = 1.0 / squares, per_F = 1.0 / F, own = F * F * per_square;
      const Real share = c / (inverse_q + own), value = share - per_F;
      low = choose(open & (value > 0.0), y, low);
      high = choose(open & ~(value > 0.0), y, high);
      const Real own_slope = 2.0 * (own * cubes * per_square - F);
      const Real slope = -squares * per_F * per_F - share * share * inverse_c * own_slope;
      const Real step_to = y - value / slope;
      const Real next = choose((step_to > low) & (step_to < high), step_to, square_root(maximum(low, least) * high));
      const Mask close = (magnitude(next - y) <= 1e-9 * y) | (high - low <= 1e-15 * high);
      y = choose(open, next, y);
      open &= ~close;
    }
    sums(y, F, squares, cubes);
    // If the channel is almost orthogonal to the principal eigenvectors, rounding removes their component from
    // the beam. Restore it, with all power that the intended own gain does not need.
    const Real intended = maximum(c * F - inverse_q, Real{}), own = F * F / squares;
    const Mask excess = own > intended * (1.0 + 1e-9);
    const Real share = choose(excess, intended / own, splat(1.0));
    const Real missing = square_root(1.0 - share), scale = square_root(share / squares);
    for (int m = 0; m < size; ++m) own_[m] = (scale * inverse_at(y, m)) * own_[m];
    Real length{};
    for (int a = 0; a < size; ++a) {
      Complexes sum = missing * beam[a];
      for (int m = 0; m < size; ++m) sum = sum + vectors_[a * size + m] * own_[m];
      matrix[a] = sum;
      length += norm(sum);
    }
    const Real inverse_length = 1.0 / square_root(length);
    for (int a = 0; a < size; ++a) beam[a] = choose(reflects, inverse_length * matrix[a], beam[a]);
    const Real received = maximum(q * c * F, splat(1.0)), inverse = 1.0 / received;
    return choose(reflects, highest + y + c * (log1p_given_inverse(received - 1.0, inverse) - 1.0 + inverse), highest);
  }

  static constexpr int SWEEPS = 30, STEPS = 100;
  static constexpr double TINY = 1e-280;  // smaller squares are too inaccurate for a rotation

  const int size_;
  Real *memory_, *values_, *weight_;  // eigenvalues, and the channel's weight on each eigenvector
  Complexes *vectors_, *own_;         // eigenvectors, and the channel's part along each
};
