// The best beam of a slot for given prices, and its value; names as in pricing.py.

#include <cmath>
#include <complex>
#include <vector>

using Complex = std::complex<double>;

// Ascending eigenvalues and orthonormal eigenvectors (columns) of a small Hermitian matrix (row by row), by
// Jacobi rotations; the matrix is destroyed. SIZE fixes the size at compile time; 0 leaves it open.
template <int SIZE>
void hermitian_eigen_of(int given, Complex* matrix, double* values, Complex* vectors) {
  const int size = SIZE ? SIZE : given;
  for (int a = 0; a < size; ++a)
    for (int b = 0; b < size; ++b) vectors[a * size + b] = a == b ? 1.0 : 0.0;
  double total = 0;
  for (int a = 0; a < size * size; ++a) total += std::norm(matrix[a]);
  for (int sweep = 0; sweep < 30; ++sweep) {
    double rest = 0;
    for (int a = 0; a < size; ++a)
      for (int b = a + 1; b < size; ++b) rest += std::norm(matrix[a * size + b]);
    if (rest <= 1e-33 * total) break;
    for (int a = 0; a < size; ++a)
      for (int b = a + 1; b < size; ++b) {
        const Complex off = matrix[a * size + b];
        const double square = std::norm(off);
        if (square <= 1e-40 * total) continue;
        const double length = std::sqrt(square);
        const Complex phase = off / length;
        const double theta = (matrix[b * size + b].real() - matrix[a * size + a].real()) / (2 * length);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        // Columns a and b of the matrix and of the vectors, then its rows.
        for (int r = 0; r < size; ++r)
          for (Complex* target : {matrix, vectors}) {
            const Complex left = target[r * size + a], right = target[r * size + b];
            const Complex turned = right * std::conj(phase);
            target[r * size + a] = c * left - s * turned;
            target[r * size + b] = s * left + c * turned;
          }
        for (int r = 0; r < size; ++r) {
          const Complex upper = matrix[a * size + r], lower = matrix[b * size + r];
          const Complex turned = lower * phase;
          matrix[a * size + r] = c * upper - s * turned;
          matrix[b * size + r] = s * upper + c * turned;
        }
      }
  }
  for (int a = 0; a < size; ++a) values[a] = matrix[a * size + a].real();
  for (int a = 0; a < size; ++a) {  // in order
    const int least = static_cast<int>(std::min_element(values + a, values + size) - values);
    if (least == a) continue;
    std::swap(values[a], values[least]);
    for (int r = 0; r < size; ++r) std::swap(vectors[r * size + a], vectors[r * size + least]);
  }
}

inline void hermitian_eigen(int size, Complex* matrix, double* values, Complex* vectors) {
  switch (size) {
    case 2: return hermitian_eigen_of<2>(size, matrix, values, vectors);
    case 3: return hermitian_eigen_of<3>(size, matrix, values, vectors);
    case 4: return hermitian_eigen_of<4>(size, matrix, values, vectors);
    default: return hermitian_eigen_of<0>(size, matrix, values, vectors);
  }
}

// |h^H w|^2.
inline double beam_gain(int size, const Complex* channel, const Complex* beam) {
  Complex sum = 0;
  for (int a = 0; a < size; ++a) sum += std::conj(channel[a]) * beam[a];
  return std::norm(sum);
}

// Add weight v v^H to a matrix.
inline void add_outer(int size, double weight, const Complex* v, Complex* matrix) {
  for (int a = 0; a < size; ++a)
    for (int b = 0; b < size; ++b) matrix[a * size + b] += weight * v[a] * std::conj(v[b]);
}

// Workspace for matrices of one size.
struct BeamWorkspace {
  explicit BeamWorkspace(int size) : matrix(size * size), vectors(size * size), own(size), values(size), weight(size) {}
  std::vector<Complex> matrix, vectors, own;
  std::vector<double> values, weight;
};

// The most valuable unit beam, where workspace.matrix is A, the priced sum of the users' channels; returns
// its value.
inline double best_beam(int size, const Complex* channel, double c, double q, BeamWorkspace& work, Complex* beam) {
  hermitian_eigen(size, work.matrix.data(), work.values.data(), work.vectors.data());
  const double highest = work.values[size - 1];
  double gain = 0;
  for (int m = 0; m < size; ++m) {
    Complex sum = 0;
    for (int a = 0; a < size; ++a) sum += std::conj(work.vectors[a * size + m]) * channel[a];
    work.own[m] = sum;
    work.weight[m] = std::norm(sum);
    gain += work.weight[m];
  }
  if (!(c > 0 && q > 0 && gain > 0)) {
    for (int a = 0; a < size; ++a) beam[a] = work.vectors[a * size + size - 1];
    return highest;
  }
  const auto sums = [&](double y, double& F, double& squares, double& cubes) {
    F = squares = cubes = 0;
    for (int m = 0; m < size; ++m) {
      const double inverse = 1 / (y + (highest - work.values[m]));
      const double part = work.weight[m] * inverse;
      F += part;
      squares += part * inverse;
      cubes += part * inverse * inverse;
    }
  };
  // Where c F = 1/q + own, with own = F^2 / squares. Newton steps for c / (1/q + own) - 1/F, which decreases
  // and is almost a line, within a shrinking bracket. If the channel is almost orthogonal to the principal
  // eigenvector, y is tiny, so the bracket is halved on a logarithmic scale.
  double low = 0, high = c * q * gain, y = high / (1 + q * gain), F, squares, cubes;
  const double least = 1e-40 * high;
  for (int step = 0; step < 100; ++step) {
    sums(y, F, squares, cubes);
    const double per_square = 1 / squares, per_F = 1 / F, own = F * F * per_square;
    const double share = c / (1 / q + own), value = share - per_F;
    (value > 0 ? low : high) = y;
    const double own_slope = 2 * (own * cubes * per_square - F);
    const double slope = -squares * per_F * per_F - share * share / c * own_slope;
    double next = y - value / slope;
    if (!(next > low && next < high)) next = std::sqrt(std::max(low, least) * high);
    const bool close = std::abs(next - y) <= 1e-9 * y || high - low <= 1e-15 * high;
    y = next;
    if (close) break;
  }
  sums(y, F, squares, cubes);
  // If the channel is almost orthogonal to the principal eigenvectors, rounding removes their component from
  // the beam. Restore it, with all power that the intended own gain does not need.
  const double intended = std::max(c * F - 1 / q, 0.0);
  double rest = 0, own_gain = 0, missing = 0;
  for (int m = 0; m < size; ++m) {
    const double inverse = 1 / (y + (highest - work.values[m]));
    rest += work.weight[m] * inverse * inverse;
    own_gain += work.weight[m] * inverse;
  }
  double scale = 1 / std::sqrt(rest);
  own_gain *= own_gain / rest;
  if (own_gain > intended * (1 + 1e-9)) {
    scale *= std::sqrt(intended / own_gain);
    missing = std::sqrt(1 - intended / own_gain);
  }
  double norm = 0;
  for (int a = 0; a < size; ++a) {
    Complex sum = missing * work.vectors[a * size + size - 1];
    for (int m = 0; m < size; ++m)
      sum += work.vectors[a * size + m] * (scale * work.own[m] / (y + (highest - work.values[m])));
    beam[a] = sum;
    norm += std::norm(sum);
  }
  for (int a = 0; a < size; ++a) beam[a] /= std::sqrt(norm);
  F = std::max(F, 1 / (q * c));
  return highest + y + c * std::log(q * c * F) - c + 1 / (q * F);
}

// Smallest ratio of a beam's gain to the `wanted` gain (0: does not matter) over all users; at least 1 is
// enough.
inline double fulfilment(int users, int size, const Complex* channels, const double* wanted, const Complex* beam) {
  double least = INFINITY;
  for (int j = 0; j < users; ++j)
    if (wanted[j] > 0) least = std::min(least, beam_gain(size, &channels[j * size], beam) / wanted[j]);
  return least;
}

// Solve a small symmetric positive definite system in place by Cholesky's method; returns whether it is
// definite.
inline bool solve_definite(int size, double* matrix, double* right) {
  for (int a = 0; a < size; ++a) {
    for (int b = 0; b <= a; ++b) {
      double sum = matrix[a * size + b];
      for (int c = 0; c < b; ++c) sum -= matrix[a * size + c] * matrix[b * size + c];
      if (a == b && !(sum > 0)) return false;
      matrix[a * size + b] = a == b ? std::sqrt(sum) : sum / matrix[b * size + b];
    }
    for (int c = 0; c < a; ++c) right[a] -= matrix[a * size + c] * right[c];
    right[a] /= matrix[a * size + a];
  }
  for (int a = size - 1; a >= 0; --a) {
    for (int c = a + 1; c < size; ++c) right[a] -= matrix[c * size + a] * right[c];
    right[a] /= matrix[a * size + a];
  }
  return true;
}

// Gauss-Newton steps of least length towards a unit beam with the gains `wanted`.
inline void match_gains(int users, int size, const Complex* channels, const double* wanted, Complex* beam) {
  constexpr double CLOSE = 1e-13;
  const int most = users + 1;
  std::vector<Complex> slopes(most * size);
  std::vector<double> missing(most), matrix(most * most);
  for (int step = 0; step < BEAM_STEPS; ++step) {
    int count = 0;
    double worst = 0;
    const auto add = [&](double value, double goal, const Complex* direction, Complex factor) {
      missing[count] = 1 - value / goal;
      worst = std::max(worst, std::abs(missing[count]));
      for (int a = 0; a < size; ++a) slopes[count * size + a] = 2 / goal * factor * direction[a];
      ++count;
    };
    double length = 0;
    for (int a = 0; a < size; ++a) length += std::norm(beam[a]);
    add(length, 1, beam, 1);
    for (int j = 0; j < users; ++j) {
      if (!(wanted[j] > 0)) continue;
      const Complex* h = &channels[j * size];
      Complex seen = 0;
      for (int a = 0; a < size; ++a) seen += std::conj(h[a]) * beam[a];
      add(std::norm(seen), wanted[j], h, seen);
    }
    if (worst <= CLOSE) return;
    double trace = 0;
    for (int p = 0; p < count; ++p)
      for (int r = 0; r < count; ++r) {
        double sum = 0;
        for (int a = 0; a < size; ++a) sum += std::real(std::conj(slopes[p * size + a]) * slopes[r * size + a]);
        matrix[p * count + r] = sum;
        if (p == r) trace = std::max(trace, sum);
      }
    for (int p = 0; p < count; ++p) matrix[p * count + p] += BEAM_RIDGE * trace + BEAM_DAMPING * worst * worst * matrix[p * count + p];
    if (!solve_definite(count, matrix.data(), missing.data())) return;
    double size_of_step = 0;
    std::vector<Complex> change(size);
    for (int a = 0; a < size; ++a) {
      for (int p = 0; p < count; ++p) change[a] += missing[p] * slopes[p * size + a];
      size_of_step += std::norm(change[a]);
    }
    const double factor = std::min(1.0, LONGEST_BEAM_STEP / std::sqrt(size_of_step));
    if (!(factor > 0)) return;
    for (int a = 0; a < size; ++a) beam[a] += factor * change[a];
  }
}

// One unit beam in place of several that share a slot's time. If possible, it has their mean gains, `wanted`:
// only these matter, and its own reflection carries at least as much work. `beam` is the first guess, and is
// kept if nothing better is found.
inline void single_beam(int users, int size, int beams, const Complex* channels, const double* wanted,
                        const double* shares, const Complex* columns, Complex* beam) {
  constexpr double ENOUGH = 1 - 1e-11;
  double best = fulfilment(users, size, channels, wanted, beam);
  std::vector<Complex> trial(size);
  for (int start = 0; start < BEAM_STARTS && best < ENOUGH; ++start) {
    std::copy_n(beam, size, trial.begin());
    if (start > 0) {  // the sum of the beams with other phases, the same in every call
      std::fill(trial.begin(), trial.end(), Complex(0));
      for (int k = 0; k < beams; ++k)
        for (int a = 0; a < size; ++a)
          trial[a] += std::polar(std::sqrt(shares[k]), BEAM_TURN * (start - 1) * k) * columns[k * size + a];
    }
    for (int round = 0; round < 2; ++round) {
      double length = 0;
      for (int a = 0; a < size; ++a) length += std::norm(trial[a]);
      if (!(length > 0)) break;
      for (int a = 0; a < size; ++a) trial[a] /= std::sqrt(length);
      if (round == 0) match_gains(users, size, channels, wanted, trial.data());
    }
    const double found = fulfilment(users, size, channels, wanted, trial.data());
    if (found > best) {
      best = found;
      std::copy_n(trial.begin(), size, beam);
    }
  }
}
