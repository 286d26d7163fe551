// One beam in place of several; names as in single_beam.py.

#include <cmath>
#include <complex>
#include <vector>

using Complex = std::complex<double>;

// |h^H w|^2.
inline double beam_gain(int size, const Complex* channel, const Complex* beam) {
  Complex sum = 0;
  for (int a = 0; a < size; ++a) sum += std::conj(channel[a]) * beam[a];
  return std::norm(sum);
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
