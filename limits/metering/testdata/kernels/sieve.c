// Bytes in memory, tight inner loops.
static unsigned char composite[1 << 20];
unsigned run(unsigned n) {
  if (n > sizeof composite) n = sizeof composite;
  for (unsigned i = 0; i < n; i++) composite[i] = 0;
  unsigned primes = 0;
  for (unsigned i = 2; i < n; i++) {
    if (composite[i]) continue;
    primes++;
    for (unsigned long long j = (unsigned long long)i * i; j < n; j += i) composite[j] = 1;
  }
  return primes;
}
