// The interior-point solver as an XLA custom call for the CPU; `standard_form.py` and `interior_point.py` say
// what it computes. Compiled for several instruction sets, the best of which is taken when it runs.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <iterator>
#include <numeric>

#include "xla/ffi/api/ffi.h"

#include "beams.h"

namespace ffi = xla::ffi;

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

struct Sizes {
  long frames;
  int users, beams, antennas;
  bool elastic;
  int parts = 0;  // of a battery, whose energies have values
};

// Q frames of N users with K beams a slot: (Q, N) each, but for ``passive_rate`` (Q, N, K) and ``harvest``
// (Q, N, N, K). Where energy left in the batteries has a value, ``gain_stored`` and ``part_size`` are (Q, N, S).
template <class Scalar>
struct Problems {
  const Scalar *passive_rate, *active_rate, *snr, *workload, *local_limit, *battery, *capacity, *circuit,
      *local_energy, *harvest, *cost_active, *cost_passive, *gain_local, *cost_shortfall;
  const bool* skip;
  const Scalar *gain_stored, *part_size;

  // The same from frame q on.
  Problems from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users, m = n * sizes.beams, s = n * sizes.parts;
    return {passive_rate + m, active_rate + n, snr + n, workload + n, local_limit + n, battery + n,
            capacity + n, circuit + n, local_energy + n, harvest + m * sizes.users, cost_active + n,
            cost_passive + n, gain_local + n, cost_shortfall + n, skip + q, gain_stored + s, part_size + s};
  }
};

// Variables and prices, (Q, N) each, but for ``t_passive`` (Q, N, K), and tau (Q,), by which to divide them.
template <class Scalar>
struct Results {
  Scalar *t_active, *t_passive, *energy, *l_local, *shortfall, *time, *work, *local, *budget, *capacity, *tau;
  std::int32_t* iterations;
  Scalar *stored, *price_stored;  // (Q, N, S)

  Results from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users, m = n * sizes.beams, s = n * sizes.parts;
    return {t_active + n, t_passive + m, energy + n, l_local + n, shortfall + n, time + n, work + n,
            local + n, budget + n, capacity + n, tau + q, iterations + q, stored + s, price_stored + s};
  }
};

// The same frames with the beams open, and K beams a slot to begin with. ``reflected_work`` (Q, N) is the work
// per ln(1 + snr) of a slot, ``reflected_snr`` (Q, N) the snr for a beam gain of 1, ``harvest_weight`` (Q, N, N)
// what user j harvests in slot i for a beam gain of 1, ``constant`` (Q,) what the energy has besides the
// problem's cost, ``small`` (Q,) the energy below which gaps are relative to that instead; ``channels`` (Q, N, M), ``beams`` (Q, N, K, M).
template <class Scalar>
struct BeamProblems {
  Problems<Scalar> frame;
  const Scalar *reflected_work, *reflected_snr, *harvest_weight, *constant, *small;
  const std::complex<Scalar> *channels, *beams;

  BeamProblems from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users;
    return {frame.from(q, sizes), reflected_work + n, reflected_snr + n, harvest_weight + n * sizes.users, constant + q,
            small + q, channels + n * sizes.antennas, beams + n * sizes.beams * sizes.antennas};
  }
};

// One beam a slot, (Q, N, M); the prices of the best bound, or of the proof, and the worth of the best beams at
// these, (Q, N); the energy with the time of slots shared among beams (Q,).
template <class Scalar>
struct BeamResults {
  std::complex<Scalar>* beams;
  Scalar *work, *budget, *capacity, *worth, *shared;
  bool* infeasible;
  std::int32_t* rounds;

  BeamResults from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users;
    return {beams + n * sizes.antennas, work + n, budget + n, capacity + n, worth + n, shared + q, infeasible + q,
            rounds + q};
  }
};

namespace baseline {
constexpr int LANES = 2;
#include "lanes.h"
#include "solver.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace baseline

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_WIDE_REGISTERS 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr int LANES = 4;
#include "lanes.h"
#include "solver.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
constexpr int LANES = 8;
#include "lanes.h"
#include "solver.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace avx512
#pragma GCC pop_options
#endif

// What the processor has of the sets that the solvers are compiled for, the narrowest first; and the one to use.
static const char* const INSTRUCTION_SETS[] = {"baseline", "avx2", "avx512"};
static int widest_set() {
#ifdef HAS_WIDE_REGISTERS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}
static int instruction_set = widest_set();

template <class Problems, class Results>
static void solve(const Problems& in, const Results& out, const Sizes& sizes) {
#ifdef HAS_WIDE_REGISTERS
  if (instruction_set == 2) return avx512::solve(in, out, sizes);
  if (instruction_set == 1) return avx2::solve(in, out, sizes);
#endif
  baseline::solve(in, out, sizes);
}

// Split the frames among the threads that XLA has for this computation. This thread takes parts too, and waits
// only for those that another has begun, so that it cannot wait for a thread that waits itself.
struct Parts {
  std::atomic<long> next{0};
  std::mutex mutex;
  std::condition_variable finished;
  long left;
};

template <class Work>
static void in_parallel(ffi::ThreadPool& pool, long count, long least, const Work& work) {
  const long parts = std::max(1L, std::min(static_cast<long>(pool.num_threads()), count / least));
  if (parts == 1) return work(0, count);
  const auto shared = std::make_shared<Parts>();
  shared->left = parts;
  // `work` is touched only by who holds a part, hence never after this function has returned.
  const auto take_parts = [shared, parts, count, &work] {
    for (long part; (part = shared->next++) < parts;) {
      work(count * part / parts, count * (part + 1) / parts);
      const std::lock_guard<std::mutex> lock(shared->mutex);
      if (--shared->left == 0) shared->finished.notify_one();
    }
  };
  for (long other = 1; other < parts; ++other) {
    auto copy = take_parts;
    pool.Schedule(std::move(copy));
  }
  take_parts();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->left == 0; });
}

constexpr long FRAMES_PER_THREAD = 64;  // fewer are not worth another thread

// The arrays of a call, by position.
template <class Scalar>
struct Arrays {
  ffi::RemainingArgs args;
  ffi::RemainingRets results;

  template <class T = Scalar>
  const T* input(int i) const {
    return static_cast<const T*>(args.get<ffi::AnyBuffer>(i)->untyped_data());
  }
  template <class T = Scalar>
  T* output(int i) const {
    return static_cast<T*>((*results.get<ffi::AnyBuffer>(i))->untyped_data());
  }
  // A frame's data apart from its beams, from position 0; then what is to be skipped.
  // From position `stored` on, if there are as many, what the energies left in the batteries are worth.
  Problems<Scalar> frame(const Scalar* passive_rate, const Scalar* harvest, std::size_t stored) const {
    const bool values = args.size() > stored;
    return {passive_rate, input(0), input(1), input(2), input(3), input(4), input(5), input(6), input(7), harvest,
            input(8), input(9), input(10), input(11), input<bool>(12),
            values ? input(stored) : nullptr, values ? input(stored + 1) : nullptr};
  }
};
constexpr int FRAME_ARRAYS = 13;

// Frames, and the last dimensions, of the array at a position; and the last dimension of that at `stored`, if any.
static Sizes sizes_of(const ffi::RemainingArgs& args, int position, int inner, bool elastic, std::size_t stored) {
  const auto dimensions = args.get<ffi::AnyBuffer>(position)->dimensions();
  Sizes sizes{1, 0, 0, 0, elastic};
  const std::size_t outer = dimensions.size() - inner;
  for (std::size_t axis = 0; axis < outer; ++axis) sizes.frames *= dimensions[axis];
  sizes.users = static_cast<int>(dimensions[outer]);
  sizes.beams = static_cast<int>(dimensions[outer + 1]);
  sizes.antennas = inner > 2 ? static_cast<int>(dimensions[outer + 2]) : 0;
  if (args.size() > stored) sizes.parts = static_cast<int>(args.get<ffi::AnyBuffer>(stored)->dimensions().back());
  return sizes;
}

template <class Problems, class Results>
static void solve_in_parallel(ffi::ThreadPool& pool, const Problems& in, const Results& out, const Sizes& sizes) {
  in_parallel(pool, sizes.frames, FRAMES_PER_THREAD, [&](long begin, long end) {
    Sizes part = sizes;
    part.frames = end - begin;
    solve(in.from(begin, sizes), out.from(begin, sizes), part);
  });
}

// Call work with arrays of the precision of the first one.
template <class Work>
static ffi::Error by_precision(ffi::RemainingArgs args, ffi::RemainingRets results, std::size_t inputs,
                               std::size_t outputs, const Work& work) {
  if (args.size() < inputs || results.size() < outputs) return ffi::Error::InvalidArgument("wrong number of arrays");
  switch (args.get<ffi::AnyBuffer>(0)->element_type()) {
    case ffi::F64: work(Arrays<double>{args, results}); break;
    case ffi::F32: work(Arrays<float>{args, results}); break;
    default: return ffi::Error::InvalidArgument("the data must be float32 or float64");
  }
  return ffi::Error::Success();
}

static ffi::Error allocate(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets results, bool elastic) {
  constexpr int stored = FRAME_ARRAYS + 2;
  return by_precision(args, results, stored, 12, [&](const auto& a) {
    const auto in = a.frame(a.input(FRAME_ARRAYS), a.input(FRAME_ARRAYS + 1), stored);
    using Scalar = std::remove_pointer_t<decltype(a.output(0))>;
    const Results<Scalar> out{a.output(0), a.output(1), a.output(2), a.output(3), a.output(4), a.output(5),
                              a.output(6), a.output(7), a.output(8), a.output(9), a.output(10),
                              a.template output<std::int32_t>(11), in.gain_stored ? a.output(12) : nullptr,
                              in.gain_stored ? a.output(13) : nullptr};
    solve_in_parallel(pool, in, out, sizes_of(args, FRAME_ARRAYS, 2, elastic, stored));
  });
}

static ffi::Error search_beams(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets results) {
  constexpr int stored = FRAME_ARRAYS + 7;
  return by_precision(args, results, stored, 8, [&](const auto& a) {
    using Scalar = std::remove_pointer_t<decltype(a.output(0))>;
    using Vector = std::complex<Scalar>;
    constexpr int first = FRAME_ARRAYS;
    const BeamProblems<Scalar> in{a.frame(nullptr, nullptr, stored), a.input(first), a.input(first + 1),
                                  a.input(first + 2), a.input(first + 3), a.input(first + 4),
                                  a.template input<Vector>(first + 5), a.template input<Vector>(first + 6)};
    const BeamResults<Scalar> out{a.template output<Vector>(0), a.output(1), a.output(2), a.output(3), a.output(4),
                                  a.output(5), a.template output<bool>(6), a.template output<std::int32_t>(7)};
    solve_in_parallel(pool, in, out, sizes_of(args, first + 6, 3, false, stored));
  });
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    scattermec_allocate, allocate,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attr<bool>("elastic"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(scattermec_search_beams, search_beams,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets());

// The module: handlers() gives a dictionary of capsules for jax.ffi.register_ffi_target.
static PyObject* handlers(PyObject*, PyObject*) {
  PyObject* found = PyDict_New();
  if (!found) return nullptr;
  const struct { const char* name; XLA_FFI_Handler* handler; } all[] = {{"allocate", scattermec_allocate},
                                                                      {"search_beams", scattermec_search_beams}};
  for (const auto& entry : all) {
    PyObject* capsule = PyCapsule_New(reinterpret_cast<void*>(entry.handler), nullptr, nullptr);
    const bool failed = !capsule || PyDict_SetItemString(found, entry.name, capsule) != 0;
    Py_XDECREF(capsule);
    if (failed) {
      Py_DECREF(found);
      return nullptr;
    }
  }
  return found;
}

// use_instructions(name=""): use that set, where the processor has it; the name of the one in use. All sets give the
// same answers but for rounding.
static PyObject* use_instructions(PyObject*, PyObject* args) {
  const char* wanted = "";
  if (!PyArg_ParseTuple(args, "|s", &wanted)) return nullptr;
  if (*wanted) {
    int found = -1;
    for (int set = 0; set <= widest_set(); ++set)
      if (std::strcmp(wanted, INSTRUCTION_SETS[set]) == 0) found = set;
    if (found < 0) {
      PyErr_Format(PyExc_ValueError, "this processor has no set of instructions named %s", wanted);
      return nullptr;
    }
    instruction_set = found;
  }
  return PyUnicode_FromString(INSTRUCTION_SETS[instruction_set]);
}

static PyMethodDef methods[] = {{"handlers", handlers, METH_NOARGS, "XLA custom calls by name, as capsules."},
                                {"use_instructions", use_instructions, METH_VARARGS, "Choose a set of instructions, and name it."},
                                {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Compiled solvers; see compiled.py.", -1, methods,
                             nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__kernel() { return PyModule_Create(&module); }
