// Vectors: a dot product and a blur over bytes.
#include <wasm_simd128.h>
static float a[4096], b[4096];
static unsigned char p[4096 + 32];
unsigned run(unsigned n) {
  for (int i = 0; i < 4096; i++) a[i] = i, b[i] = 1.0f / (i + 1), p[i] = i * 7;
  v128_t sum = wasm_f32x4_splat(0);
  for (unsigned r = 0; r < n; r++) {
    for (int i = 0; i < 4096; i += 4)
      sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(a + i), wasm_v128_load(b + i)));
    for (int i = 0; i < 4096; i += 16)
      wasm_v128_store(p + i, wasm_u8x16_avgr(wasm_v128_load(p + i), wasm_v128_load(p + i + 1)));
  }
  unsigned x = (unsigned)(wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 3));
  for (int i = 0; i < 4096; i++) x = x * 31 + p[i];
  return x;
}
