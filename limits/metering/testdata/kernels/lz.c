// A small LZ77 coder: hash table, match loops, early exits.
static unsigned char in[1 << 15], out[1 << 16];
static int head[1 << 12];
unsigned run(unsigned n) {
  if (n > sizeof in) n = sizeof in;
  unsigned x = 1;
  for (unsigned i = 0; i < n; i++) {
    x = x * 1103515245u + 12345u;
    in[i] = i > 64 && (x >> 16 & 7) ? in[i - (x >> 20 & 63)] : x >> 24 & 15;
  }
  for (unsigned i = 0; i < 1 << 12; i++) head[i] = -1;
  unsigned o = 0, i = 0;
  while (i < n) {
    unsigned best = 0, at = 0;
    if (i + 3 < n) {
      unsigned h = (in[i] * 33u ^ in[i + 1] * 1021u ^ in[i + 2] * 31u) & 4095;
      int p = head[h];
      head[h] = (int)i;
      if (p >= 0 && i - p < 4096) {
        while (i + best < n && best < 255 && in[p + best] == in[i + best]) best++;
        at = i - p;
      }
    }
    if (best > 3) {
      out[o++] = 255, out[o++] = at, out[o++] = at >> 8, out[o++] = best;
      i += best;
    } else {
      out[o++] = in[i++];
    }
  }
  for (unsigned j = 0; j < o; j++) x = x * 31 + out[j];
  return x;
}
