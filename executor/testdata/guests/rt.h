// What the C library needs of a compiler's runtime: multiplying 128-bit numbers.
// Debian has none for wasm32.
typedef __int128 i128;
typedef unsigned __int128 u128;

i128 __multi3(i128 x, i128 y) {
  unsigned long long a = (unsigned long long)x, b = (unsigned long long)y;
  unsigned long long al = (unsigned)a, ah = a >> 32, bl = (unsigned)b, bh = b >> 32;
  unsigned long long low = al * bl, mid = al * bh + (low >> 32), mid2 = ah * bl + (unsigned)mid;
  unsigned long long lo = (mid2 << 32) | (unsigned)low;
  unsigned long long hi = ah * bh + (mid >> 32) + (mid2 >> 32);
  hi += (unsigned long long)((u128)x >> 64) * b + a * (unsigned long long)((u128)y >> 64);
  return (i128)(((u128)hi << 64) | lo);
}

// Overflow is not told: the guests multiply no such numbers.
i128 __muloti4(i128 x, i128 y, int *overflow) {
  *overflow = 0;
  return __multi3(x, y);
}
