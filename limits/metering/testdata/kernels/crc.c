// A table-driven checksum: a dependent load in every step.
static unsigned table[256];
static unsigned char buf[4096];
unsigned run(unsigned n) {
  for (unsigned i = 0; i < 256; i++) {
    unsigned c = i;
    for (int j = 0; j < 8; j++) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  unsigned crc = ~0u;
  for (unsigned r = 0; r < n; r++)
    for (unsigned i = 0; i < sizeof buf; i++) crc = table[(crc ^ buf[i]) & 255] ^ crc >> 8;
  return ~crc;
}
