// memcpy and memset of many lengths: memory.copy and memory.fill where the
// target has them.
static unsigned char a[1 << 17], b[1 << 17];
unsigned run(unsigned n) {
  unsigned sum = 0;
  for (unsigned i = 0; i < n; i++) {
    unsigned len = i * 2654435761u >> 15;
    __builtin_memset(a, i & 255, len);
    __builtin_memcpy(b + (len >> 3), a, len - (len >> 3));
    __builtin_memmove(b + 1, b, len / 2);
    sum = sum * 31 + b[len / 2];
  }
  return sum;
}
