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

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

struct Sizes {
  long frames;
  int users, beams;
  bool elastic;
};

// Q frames of N users with K beams a slot: (Q, N) each, but for ``passive_rate`` (Q, N, K) and ``harvest``
// (Q, N, N, K).
template <class Scalar>
struct Problems {
  const Scalar *passive_rate, *active_rate, *snr, *workload, *local_limit, *battery, *capacity, *circuit,
      *local_energy, *harvest, *cost_active, *cost_passive, *gain_local, *cost_shortfall;
  const bool* skip;

  // The same from frame q on.
  Problems from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users, m = n * sizes.beams;
    return {passive_rate + m, active_rate + n, snr + n, workload + n, local_limit + n, battery + n,
            capacity + n, circuit + n, local_energy + n, harvest + m * sizes.users, cost_active + n,
            cost_passive + n, gain_local + n, cost_shortfall + n, skip + q};
  }
};

// Variables and prices, (Q, N) each, but for ``t_passive`` (Q, N, K), and tau (Q,), by which to divide them.
template <class Scalar>
struct Results {
  Scalar *t_active, *t_passive, *energy, *l_local, *shortfall, *time, *work, *local, *budget, *capacity, *tau;
  std::int32_t* iterations;

  Results from(long q, const Sizes& sizes) const {
    const long n = q * sizes.users, m = n * sizes.beams;
    return {t_active + n, t_passive + m, energy + n, l_local + n, shortfall + n, time + n, work + n,
            local + n, budget + n, capacity + n, tau + q, iterations + q};
  }
};

namespace baseline {
constexpr int LANES = 2;
#include "lanes.h"
#include "solver.h"
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
#include "dispatch.h"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
constexpr int LANES = 8;
#include "lanes.h"
#include "solver.h"
#include "dispatch.h"
}  // namespace avx512
#pragma GCC pop_options
#endif

template <class Scalar>
static void solve(const Problems<Scalar>& in, const Results<Scalar>& out, const Sizes& sizes) {
#ifdef HAS_WIDE_REGISTERS
  static const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512) return avx512::solve(in, out, sizes);
  if (has_avx2) return avx2::solve(in, out, sizes);
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

constexpr long FRAMES_PER_THREAD = 256;  // fewer are not worth a second thread

template <class Scalar>
static ffi::Error allocate_as(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets results,
                              bool elastic) {
  const auto input = [&](int i) { return reinterpret_cast<const Scalar*>(args.get<ffi::AnyBuffer>(i)->untyped_data()); };
  const auto output = [&](int i) {
    return reinterpret_cast<Scalar*>((*results.get<ffi::AnyBuffer>(i))->untyped_data());
  };
  const auto dimensions = args.get<ffi::AnyBuffer>(0)->dimensions();
  Sizes sizes{1, static_cast<int>(dimensions[dimensions.size() - 2]), static_cast<int>(dimensions.back()), elastic};
  for (std::size_t axis = 0; axis + 2 < dimensions.size(); ++axis) sizes.frames *= dimensions[axis];
  const Problems<Scalar> in{input(0), input(1), input(2), input(3), input(4), input(5), input(6), input(7),
                            input(8), input(9), input(10), input(11), input(12), input(13),
                            reinterpret_cast<const bool*>(args.get<ffi::AnyBuffer>(14)->untyped_data())};
  const Results<Scalar> out{output(0), output(1), output(2), output(3), output(4), output(5), output(6), output(7),
                            output(8), output(9), output(10),
                            reinterpret_cast<std::int32_t*>((*results.get<ffi::AnyBuffer>(11))->untyped_data())};
  in_parallel(pool, sizes.frames, FRAMES_PER_THREAD, [&](long begin, long end) {
    Sizes part = sizes;
    part.frames = end - begin;
    solve(in.from(begin, sizes), out.from(begin, sizes), part);
  });
  return ffi::Error::Success();
}

static ffi::Error allocate(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets results, bool elastic) {
  if (args.size() != 15 || results.size() != 12) return ffi::Error::InvalidArgument("allocate: wrong number of arrays");
  switch (args.get<ffi::AnyBuffer>(0)->element_type()) {
    case ffi::F64: return allocate_as<double>(pool, args, results, elastic);
    case ffi::F32: return allocate_as<float>(pool, args, results, elastic);
    default: return ffi::Error::InvalidArgument("allocate: the data must be float32 or float64");
  }
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(scattermec_allocate, allocate,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attr<bool>("elastic"));

// The module: handlers() gives a dictionary of capsules for jax.ffi.register_ffi_target.
static PyObject* handlers(PyObject*, PyObject*) {
  PyObject* found = PyDict_New();
  if (!found) return nullptr;
  const struct { const char* name; XLA_FFI_Handler* handler; } all[] = {{"allocate", scattermec_allocate}};
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

static PyMethodDef methods[] = {{"handlers", handlers, METH_NOARGS, "XLA custom calls by name, as capsules."},
                                {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Compiled solvers; see compiled.py.", -1, methods,
                             nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__kernel() { return PyModule_Create(&module); }
