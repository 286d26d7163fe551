// The best beam of a slot for given prices, and its worth; see pricing.py, whose names are used here.

#include <cmath>
#include <complex>
#include <vector>

using Complex = std::complex<double>;

// Eigenvalues, ascending, and orthonormal eigenvectors (columns) of a small Hermitian matrix (row by row), by
// Jacobi rotations; the matrix is destroyed.
inline void hermitian_eigen(int size, Complex* matrix, double* values, Complex* vectors) {
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

// Room for matrices of one size.
struct BeamWorkspace {
  explicit BeamWorkspace(int size) : matrix(size * size), vectors(size * size), own(size), values(size), weight(size) {}
  std::vector<Complex> matrix, vectors, own;
  std::vector<double> values, weight;
};

// The unit beam that is worth most, where workspace.matrix is A, the priced sum of the users' channels; returns
// what it is worth.
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
  // Newton's steps for the falling function c F - 1/q - F^2 / squares, kept within a shrinking bracket.
  double low = 0, high = c * q * gain, y = 0.5 * high, F, squares, cubes;
  for (int step = 0; step < 100; ++step) {
    sums(y, F, squares, cubes);
    const double value = c * F - 1 / q - F * F / squares;
    (value > 0 ? low : high) = y;
    const double slope = -c * squares + 2 * F - 2 * F * F * cubes / (squares * squares);
    double next = y - value / slope;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (std::abs(next - y) <= 1e-15 * high || high - low <= 1e-15 * high) break;
    y = next;
  }
  sums(y, F, squares, cubes);
  double norm = 0;
  for (int a = 0; a < size; ++a) {
    Complex sum = 0;
    for (int m = 0; m < size; ++m) sum += work.vectors[a * size + m] * (work.own[m] / (y + (highest - work.values[m])));
    beam[a] = sum;
    norm += std::norm(sum);
  }
  for (int a = 0; a < size; ++a) beam[a] /= std::sqrt(norm);
  F = std::max(F, 1 / (q * c));
  return highest + y + c * std::log(q * c * F) - c + 1 / (q * F);
}
