// A chain of a thousand links, each to the next: a lookup gives up at forty.
#include "hostile.h"

void _start(void) {
  char from[] = "l0000", to[] = "l0000";
  for (int i = 0; i < 1000; i++) {
    int k = i + 1;
    to[1] = '0' + k / 1000, to[2] = '0' + k / 100 % 10, to[3] = '0' + k / 10 % 10, to[4] = '0' + k % 10;
    MUST(symlink_(to, from), OK);
    memcpy(from, to, 5);
  }
  EVERYTHING("l0000", ELOOP);
}
