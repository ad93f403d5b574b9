// 64-bit multiplications and divisions: digits of a factorial.
static unsigned d[4096];
unsigned run(unsigned n) {
  unsigned len = 1, sum = 0;
  d[0] = 1;
  for (unsigned f = 2; f <= n; f++) {
    unsigned long long carry = 0;
    for (unsigned i = 0; i < len; i++) {
      carry += (unsigned long long)d[i] * f;
      d[i] = carry % 1000000000u;
      carry /= 1000000000u;
    }
    if (carry && len < 4096) d[len++] = carry;
  }
  for (unsigned i = 0; i < len; i++) sum = sum * 31 + d[i];
  return sum;
}
