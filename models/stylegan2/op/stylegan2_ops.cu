// Compiled operators of StyleGAN2 (Karras et al. 2020): factors, shift, bias, leaky ReLU and gain in one pass;
// the sums that are derivatives of the factors; up - FIR - down.
//
// One source for two compilers: nvcc makes CUDA kernels of it; a C++ compiler makes plain loops over the
// same arithmetic, which the tests run where there is no GPU. It uses no PyTorch headers, only pointers and
// sizes: it compiles in seconds and fits any PyTorch. C++17.

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define INLINE __host__ __device__ __forceinline__
#else
#define INLINE inline
#endif

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

constexpr int kUnsupported = -1;
constexpr int64_t kFitsInt = int64_t{1} << 30;  // 32-bit indices up to here, a grid stride beyond included

// 16-bit types are only stored; arithmetic is in float, that of double in double.
template <typename T> struct Arithmetic { using type = float; };
template <> struct Arithmetic<double> { using type = double; };

INLINE float widen(float value) { return value; }
INLINE double widen(double value) { return value; }
template <typename T> struct Narrow {
  INLINE static T from(typename Arithmetic<T>::type value) { return value; }
};
#ifdef __CUDACC__
INLINE float widen(__half value) { return __half2float(value); }
INLINE float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
template <> struct Narrow<__half> {
  INLINE static __half from(float value) { return __float2half_rn(value); }
};
template <> struct Narrow<__nv_bfloat16> {
  INLINE static __nv_bfloat16 from(float value) { return __float2bfloat16_rn(value); }
};

constexpr int kThreads = 256;

template <typename Body>
__global__ void __launch_bounds__(kThreads) run(const Body body, typename Body::Index count) {
  using Index = typename Body::Index;
  const auto first = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  body(first, count, static_cast<Index>(gridDim.x) * kThreads);
}
#endif

// Calls body(first, count, stride) so that every index below count is visited once. Returns a CUDA error.
template <typename Body>
int launch(const Body& body, int64_t count, void* stream, [[maybe_unused]] int per_thread = 4) {
  using Index = typename Body::Index;
  if (count == 0) return 0;
#ifdef __CUDACC__
  const int64_t items = int64_t{kThreads} * per_thread;
  const int64_t blocks = (count + items - 1) / items;
  const auto grid = static_cast<unsigned>(blocks < (1 << 30) ? blocks : (1 << 30));
  run<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body, static_cast<Index>(count));
  return static_cast<int>(cudaGetLastError());
#else
  (void)stream;
  body(Index{0}, static_cast<Index>(count), Index{1});
  return 0;
#endif
}

// ---------------------------------------------------------------- factors, shift, bias, leaky ReLU, gain

template <typename T, int kSize> struct alignas(sizeof(T) * kSize) Pack { T value[kSize]; };

// x and out are (batch, channels, pixels), dense, with channels or pixels last.
struct Activation {
  void* out;
  const void *x, *factors, *shift, *bias, *reference;  // all but x may be null
  int64_t batch, channels, pixels, shift_stride;
  bool channels_last;
  double slope, gain;
  void* stream;
};

// out = gain * s * (s > 0 ? 1 : slope), with s = x * factors + shift + bias; the sign of a reference, where
// there is one, decides instead of that of s. With the output of the first form as reference (it has the sign
// of s) the second form is the first derivative, applied to x; being linear in x, it is its own derivative
// and serves for all higher ones.
template <typename T, typename I> struct Terms {
  using Real = typename Arithmetic<T>::type;
  const Real* factors;      // (batch, channels), or null
  const T* shift;           // one value a pixel, for samples shift_stride apart, or null
  const Real* bias;         // one value a channel, or null
  I channels, shift_stride;
  Real positive, negative;  // gain, gain * slope

  explicit Terms(const Activation& a)
      : factors(static_cast<const Real*>(a.factors)),
        shift(static_cast<const T*>(a.shift)),
        bias(static_cast<const Real*>(a.bias)),
        channels(static_cast<I>(a.channels)),
        shift_stride(static_cast<I>(a.shift_stride)),
        positive(static_cast<Real>(a.gain)),
        negative(static_cast<Real>(a.gain * a.slope)) {}
};

// In any layout: packs of what lies together in memory.
template <typename T, int kPack, typename I> struct FusedBiasAct {
  using Index = I;
  using Real = typename Arithmetic<T>::type;
  using Values = Pack<T, kPack>;
  Values* out;
  const Values* x;
  const Values* reference;
  Terms<T, Index> terms;
  Index inner_size, middle_size;  // channels and pixels, in the order of memory
  bool channels_last;

  INLINE void operator()(Index first, Index count, Index stride) const {
    const bool placed = terms.factors || terms.shift || terms.bias;
    for (Index pack = first; pack < count; pack += stride) {
      const Values in = x[pack];
      const Values sign = reference ? reference[pack] : in;
      Index inner = 0, middle = 0, n = 0;
      if (placed) {
        Index rest = pack * kPack;
        inner = rest % inner_size, rest /= inner_size;
        middle = rest % middle_size, n = rest / middle_size;
      }
      Values result;
#ifdef __CUDACC__
#pragma unroll
#endif
      for (int k = 0; k < kPack; ++k) {
        Real value = widen(in.value[k]);
        if (placed) {
          const Index channel = channels_last ? inner : middle, pixel = channels_last ? middle : inner;
          if (terms.factors) value *= terms.factors[n * terms.channels + channel];
          if (terms.shift) value += widen(terms.shift[n * terms.shift_stride + pixel]);
          if (terms.bias) value += terms.bias[channel];
          if (++inner == inner_size) {
            inner = 0;
            if (++middle == middle_size) middle = 0, ++n;
          }
        }
        const Real decides = reference ? widen(sign.value[k]) : value;
        result.value[k] = Narrow<T>::from(value * (decides > Real{0} ? terms.positive : terms.negative));
      }
      out[pack] = result;
    }
  }
};

// Items over channels-last maps: packs of channels vary fastest, then chunks, then samples. An item visits the
// pixels chunk, chunk + chunks, ... so that neighbouring threads read neighbouring memory, and what belongs to
// its channels stays in registers.
template <typename I> struct Walk {
  I packs, chunks, pixels;

  INLINE I pack(I item) const { return item % packs; }
  INLINE I chunk(I item) const { return item / packs % chunks; }
  INLINE I sample(I item) const { return item / packs / chunks; }
  INLINE I start(I item) const { return sample(item) * pixels * packs + pack(item); }  // of pixel 0, in packs
};

constexpr int64_t kItemsOfAWalk = 400'000;  // enough for all threads of a large GPU

// The same for channels-last maps with whole packs of channels, in 32 bits.
template <typename T, int kPack> struct FusedBiasActWalk {
  using Index = int;
  using Real = typename Arithmetic<T>::type;
  using Values = Pack<T, kPack>;
  static constexpr int kAhead = 2;  // pixels that are read before the first is written
  Values* out;
  const Values* x;
  const Values* reference;
  Terms<T, Index> terms;
  Walk<Index> walk;

  INLINE void operator()(Index first, Index count, Index stride) const {
    for (Index item = first; item < count; item += stride) {
      const Index n = walk.sample(item), channel = walk.pack(item) * kPack, start = walk.start(item);
      Real factor[kPack], added[kPack];
#ifdef __CUDACC__
#pragma unroll
#endif
      for (int c = 0; c < kPack; ++c) {
        factor[c] = terms.factors ? terms.factors[n * terms.channels + channel + c] : Real{1};
        added[c] = terms.bias ? terms.bias[channel + c] : Real{0};
      }
      for (Index pixel = walk.chunk(item); pixel < walk.pixels; pixel += kAhead * walk.chunks) {
        Values in[kAhead] = {}, sign[kAhead] = {};
        Real shift[kAhead] = {};
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int j = 0; j < kAhead; ++j) {
          const Index place = pixel + j * walk.chunks;
          if (place >= walk.pixels) continue;
          in[j] = x[start + place * walk.packs];
          if (reference) sign[j] = reference[start + place * walk.packs];
          if (terms.shift) shift[j] = widen(terms.shift[n * terms.shift_stride + place]);
        }
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int j = 0; j < kAhead; ++j) {
          const Index place = pixel + j * walk.chunks;
          if (place >= walk.pixels) continue;
          Values result;
          for (int c = 0; c < kPack; ++c) {
            const Real value = widen(in[j].value[c]) * factor[c] + shift[j] + added[c];
            const Real decides = reference ? widen(sign[j].value[c]) : value;
            const Real gain = decides > Real{0} ? terms.positive : terms.negative;
            result.value[c] = Narrow<T>::from(value * gain);
          }
          out[start + place * walk.packs] = result;
        }
      }
    }
  }
};

template <typename T, int kPack, typename Index> int launch_fused_bias_act(const Activation& a) {
  using Body = FusedBiasAct<T, kPack, Index>;
  using Values = typename Body::Values;
  const Body body{static_cast<Values*>(a.out),
                  static_cast<const Values*>(a.x),
                  static_cast<const Values*>(a.reference),
                  Terms<T, Index>(a),
                  static_cast<Index>(a.channels_last ? a.channels : a.pixels),
                  static_cast<Index>(a.channels_last ? a.pixels : a.channels),
                  a.channels_last};
  return launch(body, a.batch * a.channels * a.pixels / kPack, a.stream);
}

template <typename T, int kPack> int launch_fused_bias_act_walk(const Activation& a) {
  using Body = FusedBiasActWalk<T, kPack>;
  using Values = typename Body::Values;
  const int64_t packs = a.channels / kPack;
  const int64_t each = 1 + a.batch * packs * a.pixels / kItemsOfAWalk;  // pixels of an item
  const int64_t chunks = (a.pixels + each - 1) / each;
  const Body body{static_cast<Values*>(a.out),
                  static_cast<const Values*>(a.x),
                  static_cast<const Values*>(a.reference),
                  Terms<T, int>(a),
                  {static_cast<int>(packs), static_cast<int>(chunks), static_cast<int>(a.pixels)}};
  return launch(body, a.batch * chunks * packs, a.stream, 1);
}

template <typename T> int fused_bias_act(const Activation& a) {
  constexpr int kPack = 16 / sizeof(T);  // the widest access to memory
  const int64_t count = a.batch * a.channels * a.pixels;
  const auto bits = reinterpret_cast<uintptr_t>(a.out) | reinterpret_cast<uintptr_t>(a.x) |
                    reinterpret_cast<uintptr_t>(a.reference);
  const bool fits = count <= kFitsInt && a.batch * a.shift_stride <= kFitsInt && bits % 16 == 0;
  if (!fits || count % kPack) return launch_fused_bias_act<T, 1, int64_t>(a);
  const bool placed = a.factors || a.shift || a.bias;
  if (placed && a.channels_last && a.channels % kPack == 0) return launch_fused_bias_act_walk<T, kPack>(a);
  return launch_fused_bias_act<T, kPack, int>(a);
}

// ---------------------------------------------------------------- sums over pixels

// For channels-last maps: partial[n, chunk, c] = sum of a[n, c, pixel] * b[n, c, pixel] over the pixels of the
// chunk. Every sum has one writer and one order: the results are the same in every run.
template <typename T, int kPack, typename I> struct ChannelDot {
  using Index = I;
  using Real = typename Arithmetic<T>::type;
  using Values = Pack<T, kPack>;
  static constexpr int kAhead = 4;  // pixels that are read before the first is used
  Pack<Real, kPack>* partial;
  const Values* a;
  const Values* b;
  Walk<Index> walk;

  INLINE void operator()(Index first, Index count, Index stride) const {
    for (Index item = first; item < count; item += stride) {
      const Index start = walk.start(item);
      Pack<Real, kPack> sums = {};
      Index pixel = walk.chunk(item);
      for (; pixel + (kAhead - 1) * walk.chunks < walk.pixels; pixel += kAhead * walk.chunks) {
        Values left[kAhead], right[kAhead];
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int j = 0; j < kAhead; ++j) {
          left[j] = a[start + (pixel + j * walk.chunks) * walk.packs];
          right[j] = b[start + (pixel + j * walk.chunks) * walk.packs];
        }
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int j = 0; j < kAhead; ++j) add(left[j], right[j], sums);
      }
      for (; pixel < walk.pixels; pixel += walk.chunks) {
        const Values left = a[start + pixel * walk.packs], right = b[start + pixel * walk.packs];
        add(left, right, sums);
      }
      partial[item] = sums;
    }
  }

  INLINE static void add(const Values& left, const Values& right, Pack<Real, kPack>& sums) {
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int c = 0; c < kPack; ++c) sums.value[c] += widen(left.value[c]) * widen(right.value[c]);
  }
};

template <typename T, int kPack, typename Index>
int launch_channel_dot(void* partial, const void* a, const void* b, int64_t batch, int64_t channels,
                       int64_t pixels, int64_t chunks, void* stream) {
  using Body = ChannelDot<T, kPack, Index>;
  using Values = typename Body::Values;
  const int64_t packs = channels / kPack;
  const Body body{static_cast<Pack<typename Body::Real, kPack>*>(partial),
                  static_cast<const Values*>(a),
                  static_cast<const Values*>(b),
                  {static_cast<Index>(packs), static_cast<Index>(chunks), static_cast<Index>(pixels)}};
  return launch(body, batch * chunks * packs, stream, 1);
}

template <typename T>
int channel_dot(void* partial, const void* a, const void* b, int64_t batch, int64_t channels, int64_t pixels,
                int64_t chunks, void* stream) {
  constexpr int kPack = 16 / sizeof(T);
  const auto bits = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b);
  const bool aligned = bits % 16 == 0 && reinterpret_cast<uintptr_t>(partial) % 32 == 0;
  const bool packs = aligned && batch * channels * pixels <= kFitsInt && channels % kPack == 0;
  const auto launcher = packs ? launch_channel_dot<T, kPack, int> : launch_channel_dot<T, 1, int64_t>;
  return launcher(partial, a, b, batch, channels, pixels, chunks, stream);
}

// ---------------------------------------------------------------- up - FIR - down

// What `geometry` holds, in this order; strides count values, not bytes.
enum Geometry {
  kBatch, kChannels, kHeight, kWidth, kOutHeight, kOutWidth,
  kStrideN, kStrideC, kStrideY, kStrideX, kOutStrideN, kOutStrideC, kOutStrideY, kOutStrideX,
  kTapsY, kTapsX, kUp, kDown, kTop, kLeft, kChannelsLast, kGeometrySize
};

// out[y, x] = sum over t, s of padded[y * down + t, x * down + s] * kernel[taps - 1 - t, taps - 1 - s],
// where `padded` is x with up - 1 zeros after every sample and zeros around. Inserted zeros are stepped over,
// not multiplied. A template argument of 0 stands for "known at run time". x may have any strides.
template <typename T, int kFixedUp, int kFixedDown, int kFixedTaps, typename I> struct UpFirDn2d {
  using Index = I;
  using Real = typename Arithmetic<T>::type;
  T* out;
  const T* x;
  const Real* kernel;
  Index g[kGeometrySize];

  INLINE void operator()(Index first, Index count, Index stride) const {
    const Index up = kFixedUp ? kFixedUp : g[kUp], down = kFixedDown ? kFixedDown : g[kDown];
    const Index taps_y = kFixedTaps ? kFixedTaps : g[kTapsY], taps_x = kFixedTaps ? kFixedTaps : g[kTapsX];
    constexpr bool kInRegisters = kFixedTaps && kFixedUp == 1;  // indices of the taps are then constants
    Real taps[kInRegisters ? kFixedTaps * kFixedTaps : 1];
    if constexpr (kInRegisters)
      for (int t = 0; t < kFixedTaps * kFixedTaps; ++t) taps[t] = kernel[kFixedTaps * kFixedTaps - 1 - t];

    for (Index item = first; item < count; item += stride) {
      Index rest = item, n, c, row, column;  // neighbours in memory go to neighbouring threads
      if (g[kChannelsLast]) {
        c = rest % g[kChannels], rest /= g[kChannels];
        column = rest % g[kOutWidth], rest /= g[kOutWidth];
        row = rest % g[kOutHeight], n = rest / g[kOutHeight];
      } else {
        column = rest % g[kOutWidth], rest /= g[kOutWidth];
        row = rest % g[kOutHeight], rest /= g[kOutHeight];
        c = rest % g[kChannels], n = rest / g[kChannels];
      }
      const Index begin_y = row * down - g[kTop], begin_x = column * down - g[kLeft];
      // the first taps that meet a sample and not an inserted zero, and that sample
      const Index first_y = (up - begin_y % up) % up, first_x = (up - begin_x % up) % up;
      const Index in_y = (begin_y + first_y) / up, in_x = (begin_x + first_x) / up;
      const T* plane = x + n * g[kStrideN] + c * g[kStrideC];
      Real sum = 0;
#ifdef __CUDACC__
#pragma unroll
#endif
      for (Index t = 0; t < (taps_y + up - 1) / up; ++t) {
        const Index y = in_y + t, tap_y = first_y + t * up;
        if (y < 0 || y >= g[kHeight] || tap_y >= taps_y) continue;
#ifdef __CUDACC__
#pragma unroll
#endif
        for (Index s = 0; s < (taps_x + up - 1) / up; ++s) {
          const Index x_ = in_x + s, tap_x = first_x + s * up;
          if (x_ < 0 || x_ >= g[kWidth] || tap_x >= taps_x) continue;
          Real tap;
          if constexpr (kInRegisters)
            tap = taps[t * kFixedTaps + s];
          else
            tap = kernel[(taps_y - 1 - tap_y) * taps_x + taps_x - 1 - tap_x];
          sum += widen(plane[y * g[kStrideY] + x_ * g[kStrideX]]) * tap;
        }
      }
      out[n * g[kOutStrideN] + c * g[kOutStrideC] + row * g[kOutStrideY] + column * g[kOutStrideX]] =
          Narrow<T>::from(sum);
    }
  }
};

// The same for channels-last maps and 4x4 taps, in 32 bits: a thread makes kColumns neighbouring pixels of one
// pack of channels, so that memory is read in the widest accesses, every row of x about once, and what finds
// the place costs little beside it.
template <typename T, int kPack, int kUp, int kDown> struct UpFirDn2dPacks {
  using Index = int;
  using Real = typename Arithmetic<T>::type;
  using Values = Pack<T, kPack>;
  static constexpr int kTaps = 4, kColumns = 4;
  T* out;
  const T* x;
  const Real* kernel;
  Index g[kGeometrySize];
  Index packs, groups;  // of channels, of columns

  INLINE void operator()(Index first, Index count, Index stride) const {
    Real taps[kTaps * kTaps];
    for (int t = 0; t < kTaps * kTaps; ++t) taps[t] = kernel[kTaps * kTaps - 1 - t];
    for (Index item = first; item < count; item += stride) {
      Index rest = item;
      const Index channel = rest % packs * kPack;
      rest /= packs;
      const Index column = rest % groups * kColumns;
      rest /= groups;
      const Index row = rest % g[kOutHeight], n = rest / g[kOutHeight];
      const T* plane = x + n * g[kStrideN] + channel;
      Real sums[kColumns][kPack] = {};
      if constexpr (kUp == 1)
        gather(plane, taps, row * kDown - g[kTop], column * kDown - g[kLeft], sums);
      else
        spread(plane, row - g[kTop], column - g[kLeft], sums);
      T* target = out + n * g[kOutStrideN] + row * g[kOutStrideY] + channel;
#ifdef __CUDACC__
#pragma unroll
#endif
      for (int k = 0; k < kColumns; ++k) {
        if (column + k >= g[kOutWidth]) break;
        Values result;
        for (int c = 0; c < kPack; ++c) result.value[c] = Narrow<T>::from(sums[k][c]);
        *reinterpret_cast<Values*>(target + (column + k) * g[kOutStrideX]) = result;
      }
    }
  }

  // Without zeros between the samples: every sample of a row goes to all pixels that see it.
  INLINE void gather(const T* plane, const Real* taps, Index top, Index left, Real (*sums)[kPack]) const {
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int t = 0; t < kTaps; ++t) {
      if (top + t < 0 || top + t >= g[kHeight]) continue;
      const T* line = plane + (top + t) * g[kStrideY];
#ifdef __CUDACC__
#pragma unroll
#endif
      for (int j = 0; j < (kColumns - 1) * kDown + kTaps; ++j) {
        if (left + j < 0 || left + j >= g[kWidth]) continue;
        const Values in = *reinterpret_cast<const Values*>(line + (left + j) * g[kStrideX]);
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int k = 0; k < kColumns; ++k) {
          const int s = j - k * kDown;
          if (s < 0 || s >= kTaps) continue;
          for (int c = 0; c < kPack; ++c) sums[k][c] += widen(in.value[c]) * taps[t * kTaps + s];
        }
      }
    }
  }

  // With one zero after every sample: a pixel sees two samples of each of two rows.
  INLINE void spread(const T* plane, Index top, Index left, Real (*sums)[kPack]) const {
    const Index first_y = top & 1;  // taps that meet zeros are stepped over
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int k = 0; k < kColumns; ++k) {
      const Index first_x = (left + k) & 1;
      for (int t = 0; t < kTaps / 2; ++t) {
        const Index y = (top + first_y) / 2 + t, tap_y = first_y + 2 * t;
        if (top + first_y + 2 * t < 0 || y >= g[kHeight]) continue;
        for (int s = 0; s < kTaps / 2; ++s) {
          const Index x_ = (left + k + first_x) / 2 + s, tap_x = first_x + 2 * s;
          if (left + k + first_x + 2 * s < 0 || x_ >= g[kWidth]) continue;
          const Values in = *reinterpret_cast<const Values*>(plane + y * g[kStrideY] + x_ * g[kStrideX]);
          const Real tap = kernel[(kTaps - 1 - tap_y) * kTaps + kTaps - 1 - tap_x];
          for (int c = 0; c < kPack; ++c) sums[k][c] += widen(in.value[c]) * tap;
        }
      }
    }
  }
};

template <typename T, int kPack, int kUp, int kDown>
int launch_packs(void* out, const void* x, const void* kernel, const int64_t* g, void* stream) {
  using Body = UpFirDn2dPacks<T, kPack, kUp, kDown>;
  using Real = typename Body::Real;
  Body body{static_cast<T*>(out), static_cast<const T*>(x), static_cast<const Real*>(kernel), {}, 0, 0};
  for (int i = 0; i < kGeometrySize; ++i) body.g[i] = static_cast<int>(g[i]);
  body.packs = body.g[kChannels] / kPack;
  body.groups = (body.g[kOutWidth] + Body::kColumns - 1) / Body::kColumns;
  const int64_t count = g[kBatch] * g[kOutHeight] * body.groups * body.packs;
  return launch(body, count, stream);
}

// Whether pixels of x and of the result are whole packs that begin at whole packs.
template <int kPack> bool in_packs(const void* out, const void* x, const int64_t* g, int bytes) {
  const auto bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(x);
  if (!g[kChannelsLast] || g[kStrideC] != 1 || g[kOutStrideC] != 1 || bits % (kPack * bytes)) return false;
  const int entries[] = {kChannels, kStrideN, kStrideY, kStrideX, kOutStrideN, kOutStrideY, kOutStrideX};
  for (const int entry : entries)
    if (g[entry] % kPack) return false;
  return true;
}

template <typename T, int kFixedUp, int kFixedDown, int kFixedTaps, typename Index>
int launch_upfirdn2d(void* out, const void* x, const void* kernel, const int64_t* g, int64_t count,
                     void* stream) {
  using Body = UpFirDn2d<T, kFixedUp, kFixedDown, kFixedTaps, Index>;
  using Real = typename Body::Real;
  Body body{static_cast<T*>(out), static_cast<const T*>(x), static_cast<const Real*>(kernel), {}};
  for (int i = 0; i < kGeometrySize; ++i) body.g[i] = static_cast<Index>(g[i]);
  return launch(body, count, stream);
}

template <typename T>
int upfirdn2d(void* out, const void* x, const void* kernel, const int64_t* g, void* stream) {
  const int64_t count = g[kBatch] * g[kChannels] * g[kOutHeight] * g[kOutWidth];
  const int64_t reach = (g[kBatch] - 1) * g[kStrideN] + (g[kChannels] - 1) * g[kStrideC] +
                        (g[kHeight] - 1) * g[kStrideY] + (g[kWidth] - 1) * g[kStrideX];
  auto launcher = launch_upfirdn2d<T, 0, 0, 0, int>;
  if (count > kFitsInt || reach > kFitsInt) {
    launcher = launch_upfirdn2d<T, 0, 0, 0, int64_t>;
  } else if (g[kTapsY] == 4 && g[kTapsX] == 4) {  // StyleGAN2's own: blur, upsample, downsample
    constexpr int kPack = 16 / sizeof(T);
    if (in_packs<kPack>(out, x, g, sizeof(T))) {
      if (g[kUp] == 1 && g[kDown] == 1) return launch_packs<T, kPack, 1, 1>(out, x, kernel, g, stream);
      if (g[kUp] == 2 && g[kDown] == 1) return launch_packs<T, kPack, 2, 1>(out, x, kernel, g, stream);
      if (g[kUp] == 1 && g[kDown] == 2) return launch_packs<T, kPack, 1, 2>(out, x, kernel, g, stream);
    }
    if (g[kUp] == 1 && g[kDown] == 1) launcher = launch_upfirdn2d<T, 1, 1, 4, int>;
    if (g[kUp] == 2 && g[kDown] == 1) launcher = launch_upfirdn2d<T, 2, 1, 4, int>;
    if (g[kUp] == 1 && g[kDown] == 2) launcher = launch_upfirdn2d<T, 1, 2, 4, int>;
  }
  return launcher(out, x, kernel, g, count, stream);
}

}  // namespace

// ---------------------------------------------------------------- what Python calls

// dtype: 0 float32, 1 float64, 2 float16, 3 bfloat16; factors, bias, partial sums and kernel are double for
// float64, else float; all others are of that dtype.
// All return 0, a CUDA error code, or -1 for a dtype that this build does not have.

EXPORT int agelab_fused_bias_act(int dtype, void* out, const void* x, const void* factors, const void* shift,
                                 const void* bias, const void* reference, int64_t batch, int64_t channels,
                                 int64_t pixels, int64_t shift_stride, int64_t channels_last, double slope,
                                 double gain, void* stream) {
  const Activation activation{out,      x,      factors,      shift,              bias,  reference, batch,
                              channels, pixels, shift_stride, channels_last != 0, slope, gain,      stream};
  switch (dtype) {
    case 0: return fused_bias_act<float>(activation);
    case 1: return fused_bias_act<double>(activation);
#ifdef __CUDACC__
    case 2: return fused_bias_act<__half>(activation);
    case 3: return fused_bias_act<__nv_bfloat16>(activation);
#endif
    default: return kUnsupported;
  }
}

EXPORT int agelab_channel_dot(int dtype, void* partial, const void* a, const void* b, int64_t batch,
                              int64_t channels, int64_t pixels, int64_t chunks, void* stream) {
  const auto call = [&](auto function) {
    return function(partial, a, b, batch, channels, pixels, chunks, stream);
  };
  switch (dtype) {
    case 0: return call(channel_dot<float>);
    case 1: return call(channel_dot<double>);
#ifdef __CUDACC__
    case 2: return call(channel_dot<__half>);
    case 3: return call(channel_dot<__nv_bfloat16>);
#endif
    default: return kUnsupported;
  }
}

EXPORT int agelab_upfirdn2d(int dtype, void* out, const void* x, const void* kernel, const int64_t* geometry,
                            void* stream) {
  switch (dtype) {
    case 0: return upfirdn2d<float>(out, x, kernel, geometry, stream);
    case 1: return upfirdn2d<double>(out, x, kernel, geometry, stream);
#ifdef __CUDACC__
    case 2: return upfirdn2d<__half>(out, x, kernel, geometry, stream);
    case 3: return upfirdn2d<__nv_bfloat16>(out, x, kernel, geometry, stream);
#endif
    default: return kUnsupported;
  }
}

EXPORT const char* agelab_error(int code) {
#ifdef __CUDACC__
  if (code > 0) return cudaGetErrorString(static_cast<cudaError_t>(code));
#endif
  return code == kUnsupported ? "this dtype was not compiled" : "unknown error";
}
